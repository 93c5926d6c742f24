-- What is searched: lines of text with the time they were written, and hourly observations of some stations. Both are made of
-- fixtures/weather/weather.csv: its lines as they are, and its columns.

CREATE STREAM IF NOT EXISTS log_lines (
  ts   TIMESTAMP(3) NOT NULL,
  line STRING NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '1' HOUR
);

CREATE STREAM IF NOT EXISTS weather_hours (
  origin    STRING NOT NULL,
  time_hour TIMESTAMP(3) NOT NULL,
  wind_dir  DOUBLE,            -- degrees, from where it blows
  precip    DOUBLE,            -- inches
  pressure  DOUBLE,            -- millibar
  WATERMARK FOR time_hour AS time_hour - INTERVAL '1' HOUR
) PARTITIONED BY (origin);
