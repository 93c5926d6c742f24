-- Of two versions of one time the greater by its columns is valid, also by those that the query does not read.
--! machine 3 4 100 2
CREATE STREAM asks (k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (k)
WITH (shards = 1, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
CREATE STREAM versions (k STRING, n BIGINT, x BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (k)
WITH (shards = 1, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
CREATE MATERIALIZED VIEW result AS
SELECT a.k, a.ts, v.x FROM asks AS a ASOF LEFT JOIN versions AS v ON a.k = v.k AND v.ts <= a.ts;
CREATE MATERIALIZED VIEW following AS
SELECT a.k, a.ts, v.x FROM asks AS a ASOF LEFT JOIN versions AS v ON a.k = v.k AND v.ts >= a.ts;
INSERT INTO versions VALUES ('a', 2, 3, '1970-01-01 00:01:40'), ('a', 1, 9, '1970-01-01 00:01:40'), ('b', NULL, 8, '1970-01-01 00:01:41');
INSERT INTO asks VALUES ('a', '1970-01-01 00:01:42'), ('b', '1970-01-01 00:01:42'), ('a', '1970-01-01 00:01:40');
--! turns 20
--! kill 3
INSERT INTO versions VALUES ('b', 0, 7, '1970-01-01 00:01:41');
--! finish
