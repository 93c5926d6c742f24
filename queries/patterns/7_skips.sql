-- Where the search goes on after a match: behind it, at its second row, or at a row of a variable.

CREATE STREAM IF NOT EXISTS past_last_row (room STRING, n BIGINT, first BIGINT, last BIGINT);
CREATE JOB IF NOT EXISTS find_past_last_row AS INSERT INTO past_last_row
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES COUNT(*) AS n, FIRST(temp) AS first, LAST(temp) AS last
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C)
  DEFINE A AS A.temp < 20, B AS SUM(B.temp) < 60, C AS C.temp > A.temp
);

CREATE STREAM IF NOT EXISTS to_next_row (room STRING, n BIGINT, first BIGINT, last BIGINT);
CREATE JOB IF NOT EXISTS find_to_next_row AS INSERT INTO to_next_row
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES COUNT(*) AS n, FIRST(temp) AS first, LAST(temp) AS last
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B+ C)
  DEFINE A AS A.temp < 20, B AS SUM(B.temp) < 60, C AS C.temp > A.temp
);

CREATE STREAM IF NOT EXISTS to_last_b (room STRING, n BIGINT, first BIGINT, last BIGINT);
CREATE JOB IF NOT EXISTS find_to_last_b AS INSERT INTO to_last_b
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES COUNT(*) AS n, FIRST(temp) AS first, LAST(temp) AS last
  AFTER MATCH SKIP TO LAST B
  PATTERN (A B+ C)
  DEFINE A AS A.temp < 20, B AS SUM(B.temp) < 60, C AS C.temp > A.temp
);

CREATE STREAM IF NOT EXISTS to_first_c (room STRING, n BIGINT, first BIGINT, last BIGINT);
CREATE JOB IF NOT EXISTS find_to_first_c AS INSERT INTO to_first_c
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES COUNT(*) AS n, FIRST(temp) AS first, LAST(temp) AS last
  AFTER MATCH SKIP TO FIRST C
  PATTERN (A B+ C)
  DEFINE A AS A.temp < 20, B AS SUM(B.temp) < 60, C AS C.temp > A.temp
);
