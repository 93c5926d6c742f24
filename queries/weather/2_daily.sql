-- The lowest, highest and mean temperature of each day (UTC) and station.

CREATE STREAM IF NOT EXISTS daily_temperature (
  origin    STRING,
  day       TIMESTAMP(3),
  readings  BIGINT,
  min_temp  DOUBLE,
  max_temp  DOUBLE,
  mean_temp DOUBLE
);

CREATE JOB IF NOT EXISTS daily AS
INSERT INTO daily_temperature
SELECT origin, window_start, COUNT(*), MIN(temp), MAX(temp), AVG(temp)
FROM TABLE(TUMBLE(TABLE weather, DESCRIPTOR(time_hour), INTERVAL '1' DAY))
GROUP BY origin, window_start, window_end;
