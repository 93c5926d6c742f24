-- A fall by more than 10 degrees within an hour.

CREATE STREAM IF NOT EXISTS falls (room STRING, fell_at TIMESTAMP(3), by BIGINT);
CREATE JOB IF NOT EXISTS find_falls AS INSERT INTO falls
SELECT * FROM rooms MATCH_RECOGNIZE (
  PARTITION BY room ORDER BY ts
  MEASURES C.ts AS fell_at, A.temp - C.temp AS by
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B* C) WITHIN INTERVAL '1' HOUR
  DEFINE B AS B.temp > A.temp - 10, C AS C.temp < A.temp - 10
);

-- Matches are a stream with a time of their own: how many rises there are in each six hours.
CREATE STREAM IF NOT EXISTS rises (window_end TIMESTAMP(3), n BIGINT);
CREATE JOB IF NOT EXISTS count_rises AS INSERT INTO rises
WITH risen AS (
  SELECT room, at FROM rooms MATCH_RECOGNIZE (
    PARTITION BY room ORDER BY ts
    MEASURES MATCH_ROWTIME() AS at
    PATTERN (A B{2}) WITHIN INTERVAL '2' HOUR
    DEFINE B AS B.temp > PREV(B.temp)
  )
)
SELECT window_end, COUNT(*) FROM TUMBLE(TABLE risen, DESCRIPTOR(at), INTERVAL '6' HOUR) GROUP BY window_start, window_end;
