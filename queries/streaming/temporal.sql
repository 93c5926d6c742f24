-- Joins with the version of a row that was valid at a time. Orders and rates come out of order.
CREATE STREAM orders (
  id BIGINT, currency STRING, ts TIMESTAMP(3), amount DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (id) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

CREATE STREAM rates (
  currency STRING, ts TIMESTAMP(3), rate DOUBLE, open BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
  PRIMARY KEY (currency) NOT ENFORCED
) PARTITIONED BY (currency) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- By the rate of that moment. The condition on the rate holds for the one that is valid; it does not look for an older one.
CREATE STREAM converted (id BIGINT, ts TIMESTAMP(3), since TIMESTAMP(3), euros DOUBLE);
CREATE JOB converts AS INSERT INTO converted
SELECT o.id, o.ts, r.ts, o.amount * r.rate
FROM orders o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency
WHERE r.open AND o.amount > 1;

-- Orders before the first rate stay, too.
CREATE STREAM all_orders (id BIGINT, rate DOUBLE);
CREATE JOB keeps AS INSERT INTO all_orders
SELECT o.id, r.rate
FROM orders o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND r.rate < 2.0;

-- The same spelled as an ASOF join, with the rate strictly before, and with a time column of either side.
CREATE STREAM asof_orders (id BIGINT, since TIMESTAMP(3));
CREATE JOB asofs AS INSERT INTO asof_orders
SELECT o.id, r.ts FROM orders o ASOF LEFT JOIN rates r ON o.currency = r.currency AND r.ts < o.ts;

CREATE STREAM matched_orders (id BIGINT, rate DOUBLE);
CREATE JOB matches AS INSERT INTO matched_orders
SELECT o.id, r.rate FROM orders o ASOF JOIN rates r MATCH_CONDITION (o.ts >= r.ts) ON o.currency = r.currency;

-- The first rate at or after an order, and the first one after it; the later rate says when that is known.
CREATE STREAM next_orders (id BIGINT, since TIMESTAMP(3), rate DOUBLE);
CREATE JOB nexts AS INSERT INTO next_orders
SELECT o.id, r.ts, r.rate FROM orders o ASOF JOIN rates r MATCH_CONDITION (o.ts <= r.ts) ON o.currency = r.currency;

CREATE STREAM later_orders (id BIGINT, since TIMESTAMP(3));
CREATE JOB laters AS INSERT INTO later_orders
SELECT o.id, r.ts FROM orders o ASOF JOIN rates r ON o.currency = r.currency AND r.ts > o.ts;

CREATE STREAM settled (minute TIMESTAMP(3), amount DOUBLE);
CREATE JOB settles AS INSERT INTO settled
SELECT window_start, SUM(amount)
FROM TABLE(TUMBLE(TABLE (
  SELECT r.ts AS ts, o.amount FROM orders o ASOF JOIN rates r ON o.currency = r.currency AND r.ts >= o.ts
), DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;

-- Windows close over what was joined.
CREATE STREAM per_minute_euros (minute TIMESTAMP(3), euros DOUBLE);
CREATE JOB sums AS INSERT INTO per_minute_euros
SELECT window_start, SUM(euros)
FROM TABLE(TUMBLE(TABLE (
  SELECT o.ts AS ts, o.amount * r.rate AS euros
  FROM orders o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency
), DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;

INSERT INTO rates VALUES
  ('usd', '2026-03-01 10:00:00', 0.5, TRUE), ('gbp', '2026-03-01 10:00:00', 1.25, TRUE);
INSERT INTO orders VALUES
  (1, 'usd', '2026-03-01 10:00:03', 10.0), (2, 'gbp', '2026-03-01 10:00:01', 4.0), (3, 'jpy', '2026-03-01 10:00:02', 100.0);
INSERT INTO rates VALUES
  ('usd', '2026-03-01 10:00:12', 0.75, TRUE), ('usd', '2026-03-01 10:00:08', 1.0, FALSE), ('jpy', '2026-03-01 10:00:07', 0.25, TRUE);
INSERT INTO orders VALUES
  (4, 'usd', '2026-03-01 10:00:10', 10.0), (5, 'usd', '2026-03-01 10:00:08', 20.0), (6, 'usd', '2026-03-01 10:00:07', 1.0),
  (7, 'jpy', '2026-03-01 10:00:07', 8.0), (8, NULL, '2026-03-01 10:00:09', 8.0);
INSERT INTO rates VALUES
  ('jpy', '2026-03-01 10:00:20', 0.5, TRUE), ('usd', '2026-03-01 10:00:31', 0.5, TRUE), ('usd', '2026-03-01 10:00:31', 0.25, TRUE),
  ('gbp', '2026-03-01 10:00:30', 2.5, TRUE);
INSERT INTO orders VALUES
  (9, 'gbp', '2026-03-01 10:00:29', 4.0), (10, 'gbp', '2026-03-01 10:00:30', 4.0), (11, 'usd', '2026-03-01 10:00:40', 4.0),
  (12, 'gbp', '2026-03-01 10:01:10', 2.0), (13, 'usd', '2026-03-01 10:01:05', 3.0);
INSERT INTO rates VALUES ('usd', '2026-03-01 10:01:20', 9.0, TRUE), ('gbp', '2026-03-01 10:01:20', 9.0, TRUE), ('jpy', '2026-03-01 10:01:20', 9.0, TRUE);
