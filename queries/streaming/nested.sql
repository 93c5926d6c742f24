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

-- A row without elements stays, and the places of the others are told.
CREATE MATERIALIZED VIEW numbered AS
SELECT b.device, t.temp AS degrees, t.place FROM batches AS b LEFT JOIN UNNEST(b.temps) WITH ORDINALITY AS t (temp, place) ON TRUE;

-- The entries of a map, and the fields of rows.
CREATE MATERIALIZED VIEW ends AS
SELECT b.device, t.side, t.degrees
FROM (SELECT device, MAP_FROM_ARRAYS(['low', 'high'], [ARRAY_MIN(temps), ARRAY_MAX(temps)]) AS ends FROM batches) AS b
CROSS JOIN UNNEST(b.ends) AS t (side, degrees) WHERE t.degrees > 2;

CREATE MATERIALIZED VIEW corners AS
SELECT b.device, t.corner, t.degrees, t.place
FROM (
  SELECT device, [NAMED_STRUCT('of', 'first', 'temp', temps[1]), NAMED_STRUCT('of', 'last', 'temp', temps[-1])] AS corners FROM batches
) AS b
CROSS JOIN UNNEST(b.corners) WITH ORDINALITY AS t (corner, degrees, place) WHERE t.degrees IS NOT NULL;

INSERT INTO batches VALUES
  ('a', '2026-03-01 10:00:10', [1.0, 2.5]), ('b', '2026-03-01 10:00:15', [7.0]), ('a', '2026-03-01 10:00:12', [3.0, 4.0, 0.5]);
INSERT INTO batches VALUES
  ('b', '2026-03-01 10:01:15', [1.5, 2.0]), ('a', '2026-03-01 10:01:12', [9.0]);
INSERT INTO batches VALUES ('c', '2026-03-01 10:01:13', []);
INSERT INTO batches VALUES ('c', '2026-03-01 10:01:14', NULL), ('a', '2026-03-01 10:01:14', [2.5, NULL]);
