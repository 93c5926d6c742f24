-- Functions over the rows around each row, where rows change and are in another order than that of event time.
CREATE STREAM throws (
  team STRING, player STRING, points BIGINT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (team) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- Over groups, which change with every throw.
CREATE MATERIALIZED VIEW standings AS
SELECT
  player, points,
  RANK()       OVER (ORDER BY points DESC) AS place,
  DENSE_RANK() OVER (ORDER BY points DESC) AS level,
  LAG(points)  OVER (ORDER BY points DESC, player) - points AS behind,
  SUM(points)  OVER (ORDER BY points DESC, player ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around,
  COUNT(*)     OVER (ORDER BY points RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING) AS close
FROM (SELECT player, SUM(points) AS points FROM throws GROUP BY player) AS players;

-- Over a whole partition, and up to its end.
CREATE MATERIALIZED VIEW shares AS
SELECT
  team, player, points,
  SUM(points)    OVER (PARTITION BY team) AS of_team,
  SUM(points)    OVER (PARTITION BY team ORDER BY points DESC, player ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS rest,
  ROW_NUMBER()   OVER (PARTITION BY team ORDER BY points, player) AS n
FROM (SELECT team, player, SUM(points) AS points FROM throws GROUP BY team, player) AS players;

-- Over rows that are only ever added, the newest first.
CREATE MATERIALIZED VIEW newest_first AS
SELECT
  team, player, points, ts,
  ROW_NUMBER()       OVER (PARTITION BY team ORDER BY ts DESC, player, points) AS n,
  FIRST_VALUE(ts)    OVER (PARTITION BY team ORDER BY ts DESC, player, points ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) AS later,
  MAX(points)        OVER (PARTITION BY team ORDER BY ts DESC RANGE BETWEEN CURRENT ROW AND INTERVAL '10' SECOND FOLLOWING) AS best,
  SUM(points)        OVER (PARTITION BY team ORDER BY points) AS up_to
FROM throws;

INSERT INTO throws VALUES
  ('red', 'ann', 20, '2026-03-01 10:00:00'), ('red', 'bob', 20, '2026-03-01 10:00:04'), ('blue', 'eve', 5, '2026-03-01 10:00:01'),
  ('red', 'ann', 15, '2026-03-01 10:00:02'), ('blue', 'dan', 50, '2026-03-01 10:00:03'), ('blue', 'eve', NULL, '2026-03-01 10:00:03');
INSERT INTO throws VALUES
  ('red', 'cid', 35, '2026-03-01 10:00:06'), ('blue', 'fay', NULL, '2026-03-01 10:00:11'), ('red', 'bob', 15, '2026-03-01 10:00:06');
INSERT INTO throws VALUES
  ('blue', 'eve', 25, '2026-03-01 10:00:07'), ('green', 'gil', 40, '2026-03-01 10:00:09'), ('red', 'ann', 60, '2026-03-01 10:00:31');
INSERT INTO throws VALUES
  ('blue', 'eve', 25, '2026-03-01 10:00:35'), ('red', 'bob', 15, '2026-03-01 10:00:06'), ('green', 'gil', 10, '2026-03-01 10:00:36'),
  ('red', 'ann', 5, '2026-03-01 10:00:36'), ('red', 'ann', 15, '2026-03-01 10:00:32');
