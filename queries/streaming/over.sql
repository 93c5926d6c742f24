-- Functions over the rows around each row, in the order of event time. Rows come out of order, and some at the same time.
CREATE STREAM readings (
  device STRING, ts TIMESTAMP(3), temp DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (device) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- Frames that look back: a row comes out once the watermark has passed it.
CREATE STREAM moving (
  device STRING, ts TIMESTAMP(3), temp DOUBLE,
  n BIGINT, total DOUBLE, mean DOUBLE, peak DOUBLE, within BIGINT, rise DOUBLE, before DOUBLE
);
CREATE JOB moves AS INSERT INTO moving
SELECT
  device, ts, temp,
  ROW_NUMBER() OVER by_time,
  SUM(temp)    OVER by_time,
  AVG(temp)    OVER (PARTITION BY device ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW),
  MAX(temp)    OVER (PARTITION BY device ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW),
  COUNT(*)     OVER (PARTITION BY device ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW),
  temp - LAG(temp) OVER by_time,
  LAG(temp, 2, -1.0) OVER by_time
FROM readings WHERE temp IS NOT NULL
WINDOW by_time AS (PARTITION BY device ORDER BY ts, temp);

-- Frames that look ahead: a row waits for those behind it, and the last one of each device for the end.
CREATE STREAM spans (device STRING, ts TIMESTAMP(3), until TIMESTAMP(3), next DOUBLE, around DOUBLE);
CREATE JOB measures_spans AS INSERT INTO spans
SELECT
  device, ts,
  LEAD(ts) OVER (PARTITION BY device ORDER BY ts, temp),
  LEAD(temp, 1, 0.0) OVER (PARTITION BY device ORDER BY ts, temp),
  SUM(temp) OVER (PARTITION BY device ORDER BY ts, temp ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)
FROM readings;

-- Ranks, firsts and lasts.
CREATE STREAM ranked (device STRING, ts TIMESTAMP(3), rank BIGINT, dense BIGINT, oldest DOUBLE, second DOUBLE);
CREATE JOB ranks AS INSERT INTO ranked
SELECT
  device, ts,
  RANK()       OVER (PARTITION BY device ORDER BY ts),
  DENSE_RANK() OVER (PARTITION BY device ORDER BY ts),
  FIRST_VALUE(temp)  OVER (PARTITION BY device ORDER BY ts, temp ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
  NTH_VALUE(temp, 2) OVER (PARTITION BY device ORDER BY ts, temp ROWS UNBOUNDED PRECEDING)
FROM readings;

-- Windows close over what has come out of OVER: its rows still carry event time.
CREATE STREAM rising (device STRING, minute TIMESTAMP(3), rises BIGINT);
CREATE JOB counts_rises AS INSERT INTO rising
SELECT device, window_start, COUNT(*) FILTER (WHERE rise > 0)
FROM TABLE(TUMBLE(TABLE (
  SELECT device, ts, temp - LAG(temp) OVER (PARTITION BY device ORDER BY ts, temp) AS rise FROM readings
), DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY device, window_start, window_end;

INSERT INTO readings VALUES
  ('a', '2026-03-01 10:00:00', 20.0), ('a', '2026-03-01 10:00:04', 21.5), ('b', '2026-03-01 10:00:01', 5.0),
  ('a', '2026-03-01 10:00:02', 19.5), ('b', '2026-03-01 10:00:03', 5.5), ('a', '2026-03-01 10:00:03', NULL);
INSERT INTO readings VALUES
  ('a', '2026-03-01 10:00:06', 22.0), ('b', '2026-03-01 10:00:11', 6.5), ('a', '2026-03-01 10:00:06', 21.0),
  ('b', '2026-03-01 10:00:07', 6.0), ('c', '2026-03-01 10:00:09', 40.0);
INSERT INTO readings VALUES
  ('a', '2026-03-01 10:00:21', 18.0), ('a', '2026-03-01 10:00:17', 23.5), ('a', '2026-03-01 10:00:19', 23.0),
  ('b', '2026-03-01 10:00:30', 4.0), ('b', '2026-03-01 10:00:26', 7.0);
INSERT INTO readings VALUES
  ('a', '2026-03-01 10:01:05', 17.0), ('b', '2026-03-01 10:01:02', 3.0), ('a', '2026-03-01 10:01:02', 17.5),
  ('c', '2026-03-01 10:01:00', 41.0), ('b', '2026-03-01 10:01:02', 3.0);
