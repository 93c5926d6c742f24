-- What is compared: hourly readings of some stations. The fixture is fixtures/weather/weather.csv.

CREATE STREAM IF NOT EXISTS observations (
  origin    STRING NOT NULL,
  time_hour TIMESTAMP(3) NOT NULL,
  temp      DOUBLE,            -- degrees Fahrenheit
  humid     DOUBLE,            -- per cent
  pressure  DOUBLE,            -- millibar
  WATERMARK FOR time_hour AS time_hour - INTERVAL '1' HOUR
) PARTITIONED BY (origin);
