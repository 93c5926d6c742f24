-- The machine drifts: the mean of a day lies 20 degrees and more under that of three days ago. Told once, and again only after it has come
-- back to within five degrees of it.

CREATE VIEW IF NOT EXISTS daily_mean AS
SELECT window_end AS ts, AVG(value) AS mean
FROM TABLE(HOP(TABLE machine_temperature, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end;

CREATE STREAM IF NOT EXISTS drifts (
  fired_at TIMESTAMP(3),
  mean     DOUBLE
);

CREATE TRIGGER IF NOT EXISTS drifting ON daily_mean PARTITION BY ()
WHEN mean < ago(mean, INTERVAL '3' DAY) - 20
UNTIL mean >= ago(mean, INTERVAL '3' DAY) - 5
EXECUTE INSERT INTO drifts
WITH (start = 'earliest');
