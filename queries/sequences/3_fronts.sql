-- How often a front went by in each stretch of thirty days: low pressure, then rain within twelve hours, then wind from the
-- north-west within twelve hours after the rain. Each observation is in one front at most.

CREATE STREAM IF NOT EXISTS fronts (
  origin STRING,
  since  TIMESTAMP(3),
  n      BIGINT
);

CREATE JOB IF NOT EXISTS count_fronts AS INSERT INTO fronts
SELECT origin, window_start,
       sequence_count('(?1)(?t<=43200)(?2)(?t<=43200)(?3)', time_hour,
                      pressure < 1010, precip > 0, wind_dir BETWEEN 290 AND 340) AS n
FROM TABLE(TUMBLE(TABLE weather_hours, DESCRIPTOR(time_hour), INTERVAL '30' DAY))
GROUP BY origin, window_start, window_end;
