-- Windows of two streams, joined where they end, and the first two of each: with NULLs, disorder, and rows that come too late. The batch
-- reads the rows that were on time.
--! machine 11 4 100 2
CREATE STREAM s0 (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (k)
WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
CREATE STREAM on_time_s0 (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (k)
WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
CREATE MATERIALIZED VIEW result AS
SELECT e, k, n, m FROM (
  SELECT e, k, n, m, ROW_NUMBER() OVER (PARTITION BY e ORDER BY n DESC, m DESC, k) AS r FROM (
    SELECT l.e, l.k, l.n, r.m
    FROM (SELECT window_end AS e, k, SUM(n) AS n FROM TUMBLE(TABLE s0, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, k) AS l
    FULL JOIN (SELECT window_end AS e, k, COUNT(*) AS m FROM HOP(TABLE s0, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND) WHERE n > 1 GROUP BY window_start, window_end, k) AS r
    ON l.e = r.e AND l.k = r.k
  ) AS j
) AS t WHERE r <= 2;
--! batch result
SELECT e, k, n, m FROM (
  SELECT e, k, n, m, ROW_NUMBER() OVER (PARTITION BY e ORDER BY n DESC, m DESC, k) AS r FROM (
    SELECT l.e, l.k, l.n, r.m
    FROM (SELECT window_end AS e, k, SUM(n) AS n FROM TUMBLE(TABLE on_time_s0, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, k) AS l
    FULL JOIN (SELECT window_end AS e, k, COUNT(*) AS m FROM HOP(TABLE on_time_s0, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND) WHERE n > 1 GROUP BY window_start, window_end, k) AS r
    ON l.e = r.e AND l.k = r.k
  ) AS j
) AS t WHERE r <= 2;
INSERT INTO s0 VALUES ('a', 1, '1970-01-01 00:01:41'), ('b', 2, '1970-01-01 00:01:42'), ('a', 3, '1970-01-01 00:01:40'), (NULL, 4, '1970-01-01 00:01:44');
INSERT INTO on_time_s0 VALUES ('a', 1, '1970-01-01 00:01:41'), ('b', 2, '1970-01-01 00:01:42'), ('a', 3, '1970-01-01 00:01:40'), (NULL, 4, '1970-01-01 00:01:44');
--! turns 12
--! kill 3
INSERT INTO s0 VALUES ('a', 5, '1970-01-01 00:01:58'), ('b', NULL, '1970-01-01 00:01:57'), ('c', 2, '1970-01-01 00:01:59');
INSERT INTO on_time_s0 VALUES ('a', 5, '1970-01-01 00:01:58'), ('b', NULL, '1970-01-01 00:01:57'), ('c', 2, '1970-01-01 00:01:59');
--! turns 25
--! lose-power 1
-- Far too late.
INSERT INTO s0 VALUES ('a', 7, '1970-01-01 00:00:10'), ('c', 7, '1970-01-01 00:00:20'), ('b', 6, '1970-01-01 00:02:10');
INSERT INTO on_time_s0 VALUES ('b', 6, '1970-01-01 00:02:10');
--! catch-up
--! kill 2
--! finish
