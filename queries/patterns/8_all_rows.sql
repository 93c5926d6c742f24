-- All rows of a match, each with what it is: a door that stands open lets a room warm up by 2 degrees or more twice; then it cools.

CREATE STREAM IF NOT EXISTS open_doors (room STRING, ts TIMESTAMP(3), nr BIGINT, part STRING, so_far BIGINT, highest BIGINT, temp BIGINT);
CREATE JOB IF NOT EXISTS find_open_doors AS INSERT INTO open_doors
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES MATCH_NUMBER() AS nr, CLASSIFIER() AS part, temp - FIRST(temp) AS so_far, FINAL MAX(temp) AS highest
  ALL ROWS PER MATCH
  PATTERN (shut warmer{2,} (cooler | same)) WITHIN INTERVAL '3' HOUR
  DEFINE
    warmer AS warmer.temp >= PREV(warmer.temp) + 2,
    cooler AS cooler.temp < PREV(cooler.temp),
    same   AS same.temp = PREV(same.temp)
);
