-- Rows without a time on both sides of a join by time, of which other columns are read, in one step: they are late, and the job goes on.
--! machine 2 30 100 1
CREATE STREAM s0 (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (k)
WITH (shards = 1, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
CREATE STREAM met_s0 (k STRING, n BIGINT, ts TIMESTAMP(3)) WITH (shards = 1);
CREATE MATERIALIZED VIEW result AS
SELECT l.ts, l.n FROM s0 AS l WHERE EXISTS
  (SELECT 1 FROM s0 AS r WHERE l.k = r.k AND r.ts BETWEEN l.ts - INTERVAL '10' SECOND AND l.ts + INTERVAL '10' SECOND);
--! batch result
SELECT l.ts, l.n FROM met_s0 AS l WHERE EXISTS
  (SELECT 1 FROM met_s0 AS r WHERE l.k = r.k AND r.ts BETWEEN l.ts - INTERVAL '10' SECOND AND l.ts + INTERVAL '10' SECOND);
INSERT INTO s0 VALUES ('a', 1, NULL), ('b', 2, '1970-01-01 00:01:41'), ('b', 3, '1970-01-01 00:01:45');
INSERT INTO met_s0 VALUES ('a', 1, NULL), ('b', 2, '1970-01-01 00:01:41'), ('b', 3, '1970-01-01 00:01:45');
--! turns 20
--! kill 2
INSERT INTO s0 VALUES (NULL, 4, '1970-01-01 00:01:50'), ('c', 5, NULL);
INSERT INTO met_s0 VALUES (NULL, 4, '1970-01-01 00:01:50'), ('c', 5, NULL);
--! finish
