-- The longest stretches in which the mean stays below 15 degrees.

CREATE STREAM IF NOT EXISTS cool_stretches (room STRING, from_ts TIMESTAMP(3), to_ts TIMESTAMP(3), mean DOUBLE, n BIGINT);
CREATE JOB IF NOT EXISTS find_cool_stretches AS INSERT INTO cool_stretches
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES FIRST(A.ts) AS from_ts, LAST(A.ts) AS to_ts, AVG(A.temp) AS mean, COUNT(A.temp) AS n
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B)
  DEFINE A AS AVG(A.temp) < 15
);

-- Each temperature more than twice what it was two rows before, and more than the one before.
CREATE STREAM IF NOT EXISTS doubling (room STRING, n BIGINT, sum BIGINT);
CREATE JOB IF NOT EXISTS find_doubling AS INSERT INTO doubling
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES COUNT(*) AS n, SUM(B.temp) AS sum
  PATTERN (A B+ C)
  DEFINE
    A AS A.temp >= 10,
    B AS (LAST(B.temp, 1) IS NULL OR B.temp > LAST(B.temp, 1)) AND (LAST(B.temp, 2) IS NULL OR B.temp > 2 * LAST(B.temp, 2))
);
