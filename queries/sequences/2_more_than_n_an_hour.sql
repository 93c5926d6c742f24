-- A sequence of text that comes more often than it should: missing values, written as ',NA', more than six times in the lines
-- of an hour. Occurrences are counted, without overlaps, and several in one line count as several.

CREATE STREAM IF NOT EXISTS sequence_alerts (
  hour_start TIMESTAMP(3),
  n          BIGINT
);

CREATE JOB IF NOT EXISTS more_than_n_an_hour AS INSERT INTO sequence_alerts
SELECT window_start, sequence_count(line, ',NA') AS n
FROM TABLE(TUMBLE(TABLE log_lines, DESCRIPTOR(ts), INTERVAL '1' HOUR))
GROUP BY window_start, window_end
HAVING sequence_count(line, ',NA') > 6;
