-- Windows over rows that change: orders of which the newest word counts.
CREATE STREAM orders (
  id BIGINT, shop STRING, amount DOUBLE, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '30' SECOND
) PARTITIONED BY (id) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

CREATE VIEW newest_orders AS
SELECT id, shop, amount, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY ts DESC) AS nth FROM orders) AS o WHERE nth = 1;

-- An order is corrected before its minute has ended, moves on to another shop, or into the next minute.
CREATE MATERIALIZED VIEW corrected AS
SELECT window_start, shop, COUNT(*) AS n, SUM(amount) AS total, MIN(amount) AS least, MAX(amount) AS most
FROM TUMBLE(TABLE newest_orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
GROUP BY window_start, window_end, shop;

CREATE MATERIALIZED VIEW shops AS
SELECT window_end, COUNT(DISTINCT shop) AS shops, COUNT(*) FILTER (WHERE amount > 5) AS large
FROM HOP(TABLE newest_orders, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '1' MINUTE)
GROUP BY window_start, window_end;

-- The shop that sold most in each minute, and each shop's dearest order.
CREATE MATERIALIZED VIEW best_shops AS
SELECT window_start, shop, total FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY total DESC, shop) AS place FROM (
    SELECT window_start, window_end, shop, SUM(amount) AS total
    FROM TUMBLE(TABLE newest_orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, shop
  ) AS t
) AS r WHERE place = 1;
CREATE MATERIALIZED VIEW dearest_orders AS
SELECT window_start, shop, id, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, shop ORDER BY amount DESC, id) AS place
  FROM TUMBLE(TABLE newest_orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
) AS r WHERE place = 1;

INSERT INTO orders VALUES
  (1, 'north', 4.0, '2026-03-01 10:00:05'), (2, 'north', 9.0, '2026-03-01 10:00:10'), (3, 'south', 2.5, '2026-03-01 10:00:10'),
  (4, 'west', 1.0, '2026-03-01 10:00:20');
-- Nothing is left of the west's minute, and the dearest of the north is another.
INSERT INTO orders VALUES
  (4, 'south', 1.5, '2026-03-01 10:00:25'), (2, 'north', 3.0, '2026-03-01 10:00:31'), (5, 'south', 6.0, '2026-03-01 10:00:31'),
  (1, 'north', 4.5, '2026-03-01 10:00:31');
INSERT INTO orders VALUES
  (5, 'south', 6.5, '2026-03-01 10:00:50'), (3, 'north', 2.0, '2026-03-01 10:00:45'), (6, 'west', 7.0, '2026-03-01 10:01:00');
-- Moves out of the minute of 10:00 while that is open.
INSERT INTO orders VALUES
  (5, 'south', 5.5, '2026-03-01 10:01:10'), (7, 'west', NULL, '2026-03-01 10:01:05'), (6, 'west', 8.0, '2026-03-01 10:01:20');
INSERT INTO orders VALUES
  (8, 'north', 1.0, '2026-03-01 10:02:40'), (9, 'south', 2.0, '2026-03-01 10:02:41'), (10, 'west', 3.0, '2026-03-01 10:02:41'),
  (9, 'south', 2.5, '2026-03-01 10:02:45'), (11, NULL, 12.0, '2026-03-01 10:03:00');
