-- What comes in: the stations, and one reading an hour from each.

CREATE STREAM IF NOT EXISTS stations (
  origin STRING NOT NULL,
  name   STRING NOT NULL,
  lat    DOUBLE NOT NULL,
  lon    DOUBLE NOT NULL
);

-- Three stations fit into one shard. A stream of many devices says PARTITIONED BY (origin) WITH (shards = 16).
CREATE STREAM IF NOT EXISTS weather (
  origin     STRING NOT NULL,
  year       INT,              -- year to hour: the station's own clock, which repeats an hour in November
  month      INT,
  day        INT,
  hour       INT,
  temp       DOUBLE,           -- degrees Fahrenheit
  dewp       DOUBLE,
  humid      DOUBLE,           -- per cent
  wind_dir   INT,              -- degrees
  wind_speed DOUBLE,           -- mph
  wind_gust  DOUBLE,
  precip     DOUBLE,           -- inches
  pressure   DOUBLE,           -- millibar
  visib      DOUBLE,           -- miles
  time_hour  TIMESTAMP(3) NOT NULL,  -- UTC
  WATERMARK FOR time_hour AS time_hour - INTERVAL '1' HOUR
) PARTITIONED BY (origin);
