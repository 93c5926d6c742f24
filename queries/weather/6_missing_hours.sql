-- Hours without a reading. Readings that follow each other hour by hour are one session; what lies between two
-- sessions of a station is missing.

CREATE STREAM IF NOT EXISTS reading_runs (
  origin        STRING,
  first_reading TIMESTAMP(3),
  last_reading  TIMESTAMP(3),
  readings      BIGINT
);

CREATE JOB IF NOT EXISTS runs AS
INSERT INTO reading_runs
SELECT origin, MIN(time_hour), MAX(time_hour), COUNT(*)
FROM TABLE(SESSION(TABLE weather PARTITION BY origin, DESCRIPTOR(time_hour), INTERVAL '90' MINUTE))
GROUP BY origin, window_start, window_end;

CREATE VIEW IF NOT EXISTS missing_hours AS
SELECT
  origin,
  UNNEST(GENERATE_SERIES(
    last_reading + INTERVAL '1' HOUR,
    next_reading - INTERVAL '1' HOUR,
    INTERVAL '1' HOUR)) AS missing_hour
FROM (
  SELECT origin, last_reading,
    LEAD(first_reading) OVER (PARTITION BY origin ORDER BY first_reading) AS next_reading
  FROM reading_runs
) AS ends
WHERE next_reading IS NOT NULL;
