-- Windows that are told by the order of rows: so many of them, or from one to another. Rows come in any order; none is late.
CREATE STREAM cells (
  rack STRING, ts TIMESTAMP(3), state STRING, volts DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) PARTITIONED BY (rack) WITH (shards = 3, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

-- Each three rows of a rack. Two windows of r1 begin and end at the same moment, and are told apart by their number.
CREATE MATERIALIZED VIEW threes AS
SELECT rack, window_start, window_time, COUNT(*) AS n, SUM(volts) AS volts
FROM COUNT_WINDOW(TABLE cells PARTITION BY rack, DESCRIPTOR(ts), 3)
GROUP BY rack, window_start, window_end, window_time, window_number;

-- The last four rows, after every second one.
CREATE MATERIALIZED VIEW last_four AS
SELECT rack, window_time, AVG(volts) AS mean, COUNT(*) FILTER (WHERE state = 'charging') AS charging
FROM COUNT_WINDOW(TABLE cells PARTITION BY rack, DESCRIPTOR(ts), 4, 2)
GROUP BY rack, window_start, window_end, window_time, window_number;

-- The first two of all cells that were charged or discharged, and so on: the rows are filtered before they are counted.
CREATE MATERIALIZED VIEW pairs AS
SELECT window_time, MAX(volts) AS volts
FROM COUNT_WINDOW(DATA => TABLE (SELECT * FROM cells WHERE state <> 'idle'), TIMECOL => DESCRIPTOR(ts), SIZE => 2)
GROUP BY window_start, window_end, window_time, window_number;

-- From the first row of a charge to the next discharge.
CREATE MATERIALIZED VIEW charges AS
SELECT rack, window_start, window_time, COUNT(*) AS n, MAX(volts) - MIN(volts) AS gained
FROM STATE_WINDOW(TABLE cells PARTITION BY rack, DESCRIPTOR(ts), state = 'charging', state = 'discharging')
GROUP BY rack, window_start, window_end, window_time, window_number;

-- From one rest to the next.
CREATE MATERIALIZED VIEW rounds AS
SELECT rack, window_start, window_end, COUNT(*) AS n, SUM(volts) AS volts
FROM STATE_WINDOW(TABLE cells PARTITION BY rack, DESCRIPTOR(ts), BEGIN_CONDITION => state = 'idle' AND volts > 0)
GROUP BY rack, window_start, window_end, window_number;

-- The greatest cell of each window, with the row as it was.
CREATE MATERIALIZED VIEW highest AS
SELECT rack, ts, volts FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY rack, window_start, window_end, window_number ORDER BY volts DESC, ts) AS nth
  FROM COUNT_WINDOW(TABLE cells PARTITION BY rack, DESCRIPTOR(ts), 3)
) WHERE nth = 1;

INSERT INTO cells VALUES
  ('r1', '2026-03-01 10:00:00', 'charging', 3.0), ('r1', '2026-03-01 10:00:00', 'charging', 3.25),
  ('r2', '2026-03-01 10:00:05', 'idle', 3.5), ('r1', '2026-03-01 10:00:00', 'idle', 3.5);
INSERT INTO cells VALUES
  ('r1', '2026-03-01 10:00:00', 'charging', 3.75), ('r1', '2026-03-01 10:00:00', 'discharging', 2.0),
  ('r1', '2026-03-01 10:00:00', 'idle', 1.0), ('r2', '2026-03-01 10:00:30', 'charging', 3.0),
  ('r3', '2026-03-01 10:00:20', 'discharging', 2.5);
INSERT INTO cells VALUES
  ('r2', '2026-03-01 10:00:20', 'charging', 2.75), ('r2', '2026-03-01 10:00:55', 'charging', 4.0),
  ('r2', '2026-03-01 10:01:20', 'discharging', 3.75), ('r3', '2026-03-01 10:00:10', 'charging', 2.0),
  ('r1', '2026-03-01 10:00:50', 'charging', 2.25);
INSERT INTO cells VALUES
  ('r2', '2026-03-01 10:01:50', 'idle', 3.5), ('r2', '2026-03-01 10:01:40', 'discharging', 3.5),
  ('r1', '2026-03-01 10:02:10', 'idle', 2.5), ('r1', '2026-03-01 10:01:30', NULL, 2.5);
INSERT INTO cells VALUES
  ('r2', '2026-03-01 10:03:00', 'charging', 3.0), ('r2', '2026-03-01 10:03:30', 'discharging', 2.75),
  ('r1', '2026-03-01 10:03:20', 'discharging', 2.25), ('r2', '2026-03-01 10:03:10', 'idle', 3.25),
  ('r1', '2026-03-01 10:03:40', 'idle', 2.0), ('r3', '2026-03-01 10:03:00', 'idle', 3.0);
