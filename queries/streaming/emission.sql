-- When windows come out: at once, and with late rows. Rows with 100 come after their window has closed, rows with 200 a minute later still.
CREATE STREAM sensors (
  device STRING, ts TIMESTAMP(3), temp DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (device) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- A window's row is there from its first row on, and changes until the window closes.
CREATE MATERIALIZED VIEW early AS
SELECT device, window_start, COUNT(*) AS n, SUM(temp) AS total
FROM TUMBLE(TABLE sensors, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
GROUP BY device, window_start, window_end
EMIT CHANGES;

-- The same, but said every 20 seconds of event time.
CREATE MATERIALIZED VIEW paced AS
SELECT device, window_start, COUNT(*) AS n, SUM(temp) AS total
FROM TUMBLE(TABLE sensors, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
GROUP BY device, window_start, window_end
EMIT EVERY INTERVAL '20' SECOND;

-- A window's row is there when it closes, and changes for a minute more; what comes later still goes to a stream.
CREATE STREAM too_late (device STRING, ts TIMESTAMP(3), temp DOUBLE);
CREATE MATERIALIZED VIEW forgiving AS
SELECT device, window_start, COUNT(*) AS n, SUM(temp) AS total
FROM TUMBLE(TABLE sensors, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
GROUP BY device, window_start, window_end
ALLOW LATENESS INTERVAL '1' MINUTE LATE DATA TO too_late;

INSERT INTO sensors VALUES
  ('a', '2026-03-01 10:00:10', 1.0), ('a', '2026-03-01 10:00:50', 2.0), ('b', '2026-03-01 10:00:40', 3.0);
INSERT INTO sensors VALUES
  ('a', '2026-03-01 10:01:30', 4.0), ('b', '2026-03-01 10:01:20', 5.0), ('a', '2026-03-01 10:01:05', 6.0);
INSERT INTO sensors VALUES ('a', '2026-03-01 10:00:55', 100.0), ('b', '2026-03-01 10:00:59', 100.0);
INSERT INTO sensors VALUES ('a', '2026-03-01 10:03:10', 7.0), ('b', '2026-03-01 10:03:20', 8.0);
INSERT INTO sensors VALUES ('a', '2026-03-01 10:00:20', 200.0), ('b', '2026-03-01 10:01:20', 200.0);
