-- Windows of every kind over bids, with what is built on them: windows of windows, the first of each window, joins of windows.
CREATE STREAM bids (
  item STRING, supplier STRING, price DOUBLE, at TIMESTAMP(3),
  WATERMARK FOR at AS at - INTERVAL '2' MINUTE
) PARTITIONED BY (item) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

CREATE STREAM asks (
  item STRING, price DOUBLE, at TIMESTAMP(3),
  WATERMARK FOR at AS at - INTERVAL '2' MINUTE
) PARTITIONED BY (item) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

CREATE MATERIALIZED VIEW tumbled AS
SELECT window_start, window_end, SUM(price) AS total FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' MINUTES))
GROUP BY window_start, window_end;

-- Windows that begin three minutes past.
CREATE MATERIALIZED VIEW shifted AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(at), SIZE => INTERVAL '10' MINUTES, OFFSET => INTERVAL '3' MINUTES))
GROUP BY window_start, window_end;

CREATE MATERIALIZED VIEW hopped AS
SELECT window_start, window_end, item, SUM(price) AS total
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '5' MINUTES, INTERVAL '10' MINUTES)) GROUP BY window_start, window_end, item;

-- The size is no multiple of the slide.
CREATE MATERIALIZED VIEW hopped_unevenly AS
SELECT window_start, window_end, MAX(price) AS dearest, COUNT(*) AS n
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '4' MINUTES, INTERVAL '10' MINUTES)) GROUP BY window_start, window_end;

CREATE MATERIALIZED VIEW cumulated AS
SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(at), INTERVAL '2' MINUTES, INTERVAL '10' MINUTES)) GROUP BY window_start, window_end;

-- A session ends five minutes after its last bid; of each item, and of all.
CREATE MATERIALIZED VIEW sessions_of_items AS
SELECT item, window_start, window_end, SUM(price) AS total
FROM TABLE(SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' MINUTES)) GROUP BY item, window_start, window_end;
CREATE MATERIALIZED VIEW sessions_of_all AS
SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(SESSION(TABLE bids, DESCRIPTOR(at), INTERVAL '3' MINUTES))
GROUP BY window_start, window_end;

-- The rows of sessions, and the dearest of each.
CREATE MATERIALIZED VIEW session_bids AS
SELECT item, at, price, window_start, window_end FROM TABLE(SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' MINUTES));
CREATE MATERIALIZED VIEW dearest_of_sessions AS
SELECT window_start, item, price, at FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, item ORDER BY price DESC, at) AS place
  FROM TABLE(SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' MINUTES))
) WHERE place = 1;

-- Windows of windows: five minutes by supplier, and of these ten.
CREATE VIEW fives AS
SELECT window_time AS rowtime, supplier, SUM(price) AS partial
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '5' MINUTES)) GROUP BY supplier, window_start, window_end, window_time;
CREATE MATERIALIZED VIEW tens AS
SELECT window_start, window_end, SUM(partial) AS total, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE fives, DESCRIPTOR(rowtime), INTERVAL '10' MINUTES)) GROUP BY window_start, window_end;

-- The two suppliers that sold most in each window, and each supplier's last bid in it.
CREATE MATERIALIZED VIEW best_suppliers AS
SELECT window_start, supplier, total, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY total DESC, supplier) AS place FROM (
    SELECT window_start, window_end, supplier, SUM(price) AS total
    FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' MINUTES)) GROUP BY window_start, window_end, supplier
  )
) WHERE place <= 2;
CREATE MATERIALIZED VIEW last_bids AS
SELECT window_start, supplier, item, price, at FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, supplier ORDER BY at DESC) AS place
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' MINUTES))
) WHERE place = 1;

-- Bids and asks of one item in the same five minutes.
CREATE VIEW bid_windows AS SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '5' MINUTES));
CREATE VIEW ask_windows AS SELECT * FROM TABLE(TUMBLE(TABLE asks, DESCRIPTOR(at), INTERVAL '5' MINUTES));
CREATE MATERIALIZED VIEW matched AS
SELECT l.window_start, l.price AS bid, r.price AS ask FROM bid_windows AS l
JOIN ask_windows AS r ON l.item = r.item AND l.window_start = r.window_start AND l.window_end = r.window_end;
CREATE MATERIALIZED VIEW all_of_both AS
SELECT COALESCE(l.window_start, r.window_start) AS window_start, l.price AS bid, r.price AS ask FROM bid_windows AS l
FULL JOIN ask_windows AS r ON l.item = r.item AND l.window_start = r.window_start AND l.window_end = r.window_end;
CREATE MATERIALIZED VIEW all_bids AS
SELECT l.window_start, l.price AS bid, r.price AS ask FROM bid_windows AS l
LEFT JOIN ask_windows AS r ON l.item = r.item AND l.window_start = r.window_start AND l.window_end = r.window_end AND r.price <= l.price;
CREATE MATERIALIZED VIEW all_asks AS
SELECT r.window_start, l.price AS bid, r.price AS ask FROM bid_windows AS l
RIGHT JOIN ask_windows AS r ON l.item = r.item AND l.window_start = r.window_start AND l.window_end = r.window_end;
CREATE MATERIALIZED VIEW answered AS
SELECT l.window_start, l.item, l.price FROM bid_windows AS l WHERE l.item IN (
  SELECT r.item FROM ask_windows AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end
);
CREATE MATERIALIZED VIEW unanswered AS
SELECT l.window_start, l.item, l.price FROM bid_windows AS l WHERE NOT EXISTS (
  SELECT * FROM ask_windows AS r WHERE l.item = r.item AND l.window_start = r.window_start AND l.window_end = r.window_end
);

INSERT INTO bids VALUES
  ('A', 's1', 2.0, '2026-03-01 08:05:00'), ('C', 's2', 4.0, '2026-03-01 08:07:30'), ('D', 's1', 5.0, '2026-03-01 08:09:00');
INSERT INTO asks VALUES ('A', 3.0, '2026-03-01 08:05:10'), ('B', 2.5, '2026-03-01 08:06:00'), ('D', 4.5, '2026-03-01 08:08:59');
INSERT INTO bids VALUES
  ('C', 's3', 3.0, '2026-03-01 08:08:00'), ('B', 's2', 1.0, '2026-03-01 08:11:10'), ('E', 's2', 6.0, '2026-03-01 08:13:00');
INSERT INTO asks VALUES ('B', 0.5, '2026-03-01 08:11:00'), ('B', 1.5, '2026-03-01 08:14:59.999'), ('E', 7.0, '2026-03-01 08:15:00');
INSERT INTO bids VALUES
  ('F', 's3', 0.5, '2026-03-01 08:12:59.999'), ('A', 's1', 2.5, '2026-03-01 08:14:00'), ('A', NULL, 1.0, '2026-03-01 08:15:00');
INSERT INTO bids VALUES
  ('A', 's3', 1.5, '2026-03-01 08:19:59.999'), ('A', 's2', 8.0, '2026-03-01 08:20:00'), ('C', 's1', 3.5, '2026-03-01 08:18:30');
INSERT INTO asks VALUES ('A', 1.0, '2026-03-01 08:19:00'), ('A', 9.0, '2026-03-01 08:20:00'), ('C', 3.0, '2026-03-01 08:24:00');
INSERT INTO bids VALUES ('B', 's1', 2.0, '2026-03-01 08:41:00'), ('A', 's2', 4.5, '2026-03-01 08:39:30'), ('A', 's1', 1.0, '2026-03-01 08:44:00');
INSERT INTO asks VALUES ('A', 4.0, '2026-03-01 08:43:00'), ('B', 2.0, '2026-03-01 08:42:00');
