-- Cold fronts: the pressure falls by 3 millibar, then it rains, then the wind turns to the north-west, all within twelve hours. Between
-- them anything may happen: the first fall, the first rain and the first turn count.

CREATE STREAM IF NOT EXISTS fronts (
  origin     STRING,
  began_at   TIMESTAMP(3),
  fallen_at  TIMESTAMP(3),
  pressure   DOUBLE,
  rained_at  TIMESTAMP(3),
  turned_at  TIMESTAMP(3),
  rain       DOUBLE
);

CREATE JOB IF NOT EXISTS find_fronts AS INSERT INTO fronts
SELECT origin, began_at, fallen_at, pressure, rained_at, turned_at, rain
FROM sky MATCH_RECOGNIZE (
  PARTITION BY origin ORDER BY time_hour
  MEASURES
    begun.time_hour    AS began_at,
    fallen.time_hour   AS fallen_at,
    fallen.pressure    AS pressure,
    wet.time_hour      AS rained_at,
    MATCH_ROWTIME()    AS turned_at,
    MAX(precip)        AS rain
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (begun a*? fallen b*? wet c*? turned) WITHIN INTERVAL '12' HOUR
  DEFINE
    fallen AS fallen.pressure <= begun.pressure - 3,
    wet    AS precip > 0,
    turned AS wind_dir BETWEEN 293 AND 337
);

-- How often, by month.
CREATE MATERIALIZED VIEW IF NOT EXISTS fronts_by_month AS
SELECT origin, date_trunc('month', turned_at) AS month, COUNT(*) AS n FROM fronts GROUP BY origin, date_trunc('month', turned_at);
