-- A side of a join of which no column is read: only how many rows it has matters, also after a restart. Seed 112.
--! machine 602 1 1089 1
CREATE STREAM s0 (k STRING, x2 BIGINT, x3 BIGINT) PARTITIONED BY (k) WITH (shards = 1);
CREATE MATERIALIZED VIEW result AS
SELECT r.x2 FROM (SELECT x3 FROM s0) AS l FULL JOIN (SELECT x2 FROM s0) AS r ON false;
CREATE MATERIALIZED VIEW pairs AS SELECT l.x2 FROM s0 AS l CROSS JOIN s0 AS r;
INSERT INTO s0 VALUES ('a', 1, NULL);
--! turns 30
--! restart 4
INSERT INTO s0 VALUES ('a', NULL, NULL), ('b', 2, 3);
--! turns 30
--! restart 2
INSERT INTO s0 VALUES ('c', 7, NULL);
--! compare
