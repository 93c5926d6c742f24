-- Every hour, the mean temperature of the six hours before it.

CREATE STREAM IF NOT EXISTS moving_mean (
  origin    STRING,
  until     TIMESTAMP(3),
  readings  BIGINT,
  mean_temp DOUBLE
);

CREATE JOB IF NOT EXISTS moving AS
INSERT INTO moving_mean
SELECT origin, window_end, COUNT(*), AVG(temp)
FROM TABLE(HOP(TABLE weather, DESCRIPTOR(time_hour), INTERVAL '1' HOUR, INTERVAL '6' HOUR))
GROUP BY origin, window_start, window_end;
