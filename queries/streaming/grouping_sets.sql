-- GROUPING SETS, ROLLUP and CUBE, in windows and in views that are updated.
CREATE STREAM sales (
  shop STRING, item STRING, ts TIMESTAMP(3), price DOUBLE, amount BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (shop) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- Each minute: by shop, by item, and all in all.
CREATE STREAM per_minute (minute TIMESTAMP(3), shop STRING, item STRING, sets BIGINT, total DOUBLE, n BIGINT);
CREATE JOB minutes AS INSERT INTO per_minute
SELECT window_start, shop, item, GROUPING_ID(shop, item), SUM(price), COUNT(*)
FROM TABLE(TUMBLE(TABLE sales, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, GROUPING SETS ((shop), (item), ());

-- So far: by shop and item, by shop, and all in all. A NULL that stands for all is told from one that was sold by GROUPING().
CREATE MATERIALIZED VIEW so_far AS
SELECT shop, item, GROUPING(item) AS any_item, SUM(amount) AS amount, MAX(price) AS dearest
FROM sales GROUP BY ROLLUP (shop, item);

-- Every combination, of which only those with more than one sale.
CREATE MATERIALIZED VIEW cubed AS
SELECT shop, item, COUNT(*) AS n, COUNT(DISTINCT amount) AS amounts FROM sales GROUP BY CUBE (shop, item) HAVING COUNT(*) > 1;

INSERT INTO sales VALUES
  ('north', 'tea',    '2026-03-01 10:00:01', 2.5, 1), ('south', 'tea',    '2026-03-01 10:00:03', 2.0, 4),
  ('north', 'coffee', '2026-03-01 10:00:02', 4.0, 2), ('north', NULL,     '2026-03-01 10:00:05', 1.5, 1);
INSERT INTO sales VALUES
  ('south', 'coffee', '2026-03-01 10:00:40', 4.5, 2), ('north', 'tea',    '2026-03-01 10:00:38', 3.0, 1),
  ('north', 'tea',    '2026-03-01 10:01:01', 2.5, 3), ('west',  'cocoa',  '2026-03-01 10:00:58', 5.0, 1);
INSERT INTO sales VALUES
  ('south', 'tea',    '2026-03-01 10:01:10', 2.0, 1), ('north', 'coffee', '2026-03-01 10:01:20', 4.5, 2),
  ('west',  NULL,     '2026-03-01 10:01:15', 5.5, 7), ('north', NULL,     '2026-03-01 10:01:18', 0.5, 1);
