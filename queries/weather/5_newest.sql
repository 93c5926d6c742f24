-- The newest reading of each station: a view that is kept up to date, row by row.

CREATE MATERIALIZED VIEW IF NOT EXISTS newest_reading AS
SELECT
  origin,
  MAX(time_hour)                             AS time_hour,
  LAST_VALUE(temp ORDER BY time_hour)        AS temp,
  LAST_VALUE(humid ORDER BY time_hour)       AS humid,
  LAST_VALUE(wind_speed ORDER BY time_hour)  AS wind_speed,
  COUNT(*)                                   AS readings
FROM weather
GROUP BY origin;
