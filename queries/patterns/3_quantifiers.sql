-- A greedy quantifier takes as many rows as it can, a reluctant one as few.

CREATE STREAM IF NOT EXISTS greedy (room STRING, last BIGINT, n BIGINT);
CREATE JOB IF NOT EXISTS find_greedy AS INSERT INTO greedy
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES C.temp AS last, COUNT(B.temp) AS n
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B* C)
  DEFINE A AS A.temp > 20, B AS B.temp < 25, C AS C.temp > 22
);

CREATE STREAM IF NOT EXISTS reluctant (room STRING, last BIGINT, n BIGINT);
CREATE JOB IF NOT EXISTS find_reluctant AS INSERT INTO reluctant
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES C.temp AS last, COUNT(B.temp) AS n
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B*? C)
  DEFINE A AS A.temp > 20, B AS B.temp < 25, C AS C.temp > 22
);
