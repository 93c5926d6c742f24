-- Outer joins of one stream with itself, one within the other: a row comes from three places at once, with NULLs among them, and each
-- kill takes some of what was matched back to the last checkpoint.
--! machine 4 3 40 2
CREATE STREAM b (k STRING, v BIGINT, w BIGINT) PARTITIONED BY (k) WITH (shards = 2);
CREATE MATERIALIZED VIEW result AS
SELECT l.k, l.v, r.w FROM (SELECT k, v, w FROM b) AS l
LEFT JOIN (
  SELECT r.k, l.v, r.v AS w FROM (SELECT k, v, w FROM b WHERE w IS NOT NULL) AS l
  RIGHT JOIN (SELECT k, v, w FROM b WHERE v > 2) AS r ON l.k = r.k
) AS r ON l.k = r.k AND l.w + r.w > 3;
INSERT INTO b VALUES ('a', 5, 1), ('a', 3, NULL), ('b', 1, 4), (NULL, 7, 2), ('c', 6, NULL);
--! turns 9
--! kill 3
INSERT INTO b VALUES ('b', 4, 0), ('a', 5, 1), ('c', NULL, 3), ('d', 3, 2);
--! turns 30
--! compare
INSERT INTO b VALUES ('d', 7, NULL), ('c', 2, 4), ('a', NULL, NULL), ('b', 6, 2), ('b', 6, 2);
--! turns 14
--! kill 1
--! compare
INSERT INTO b VALUES ('c', 5, 5), ('d', 1, 1), (NULL, 3, 9);
--! lose-power 4
--! turns 3
INSERT INTO b VALUES ('a', 8, 0), ('e', 4, 4);
--! restart 2
--! kill 3
--! compare
