-- A room that cools down without a break, and then warms up: each definition looks at the row before it in the match.

CREATE STREAM IF NOT EXISTS cooling (room STRING, began_at TIMESTAMP(3), coldest_at TIMESTAMP(3), ended_at TIMESTAMP(3), coldest BIGINT);
CREATE JOB IF NOT EXISTS find_cooling AS INSERT INTO cooling
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES warm.ts AS began_at, LAST(down.ts) AS coldest_at, LAST(up.ts) AS ended_at, LAST(down.temp) AS coldest
  ONE ROW PER MATCH AFTER MATCH SKIP TO LAST up
  PATTERN (warm down+ up)
  DEFINE
    down AS (LAST(down.temp, 1) IS NULL AND down.temp < warm.temp) OR down.temp < LAST(down.temp, 1),
    up   AS up.temp > LAST(down.temp)
);

-- And one that warms up: the first, the highest and the last temperature.
CREATE STREAM IF NOT EXISTS rising (room STRING, first BIGINT, top BIGINT, last BIGINT);
CREATE JOB IF NOT EXISTS find_rising AS INSERT INTO rising
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES FIRST(A.temp) AS first, LAST(A.temp) AS top, B.temp AS last
  ONE ROW PER MATCH
  PATTERN (A+ B)
  DEFINE A AS LAST(A.temp, 1) IS NULL OR A.temp > LAST(A.temp, 1), B AS B.temp < LAST(A.temp)
);
