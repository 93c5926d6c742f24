-- A row for each element of a list.
CREATE STREAM batches (
  device STRING, ts TIMESTAMP(3), temps ARRAY<DOUBLE>,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) PARTITIONED BY (device) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');

CREATE STREAM points (device STRING, temp DOUBLE);
CREATE JOB unnests AS INSERT INTO points SELECT device, UNNEST(temps) FROM batches;

-- And windows over them.
CREATE STREAM peaks (minute TIMESTAMP(3), n BIGINT, peak DOUBLE);
CREATE JOB finds_peaks AS INSERT INTO peaks
SELECT window_start, COUNT(temp), MAX(temp)
FROM TABLE(TUMBLE(TABLE (SELECT ts, UNNEST(temps) AS temp FROM batches), DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;

-- The same as a join with the list, as Flink spells it; and with a table at its side.
CREATE MATERIALIZED VIEW elements AS
SELECT b.device, temp AS degrees FROM batches AS b CROSS JOIN UNNEST(b.temps) AS t (temp) WHERE t.temp > 1;

INSERT INTO batches VALUES
  ('a', '2026-03-01 10:00:10', [1.0, 2.5]), ('b', '2026-03-01 10:00:15', [7.0]), ('a', '2026-03-01 10:00:12', [3.0, 4.0, 0.5]);
INSERT INTO batches VALUES
  ('b', '2026-03-01 10:01:15', [1.5, 2.0]), ('a', '2026-03-01 10:01:12', [9.0]);
