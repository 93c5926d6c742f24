-- The hottest station of each day, by its highest temperature; of several that are as hot, the first by name.

CREATE MATERIALIZED VIEW IF NOT EXISTS hottest_stations AS
SELECT day, origin, max_temp
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY day ORDER BY max_temp DESC, origin) AS place
  FROM (
    SELECT window_start AS day, origin, MAX(temp) AS max_temp
    FROM TABLE(TUMBLE(TABLE observations, DESCRIPTOR(time_hour), INTERVAL '1' DAY))
    GROUP BY window_start, window_end, origin
  )
)
WHERE place <= 1;
