-- What is searched: temperatures of cold rooms, made up (rooms.csv), and the sky over three airports (fixtures/weather/weather.csv).

CREATE STREAM IF NOT EXISTS rooms (
  room STRING NOT NULL,
  ts   TIMESTAMP(3) NOT NULL,
  temp BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) PARTITIONED BY (room);

CREATE STREAM IF NOT EXISTS sky (
  origin    STRING NOT NULL,
  time_hour TIMESTAMP(3) NOT NULL,
  pressure  DOUBLE,            -- millibar
  precip    DOUBLE,            -- inches
  wind_dir  DOUBLE,            -- degrees
  WATERMARK FOR time_hour AS time_hour - INTERVAL '1' HOUR
) PARTITIONED BY (origin);
