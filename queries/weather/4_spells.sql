-- Heat and frost, as spells. A night does not end a heat wave, nor an afternoon a frost: the gap bridges them.

CREATE VIEW IF NOT EXISTS hot_hours AS
SELECT origin, time_hour, temp FROM weather WHERE temp >= 90;

CREATE STREAM IF NOT EXISTS heat_spells (
  origin     STRING,
  first_hour TIMESTAMP(3),
  last_hour  TIMESTAMP(3),
  hot_hours  BIGINT,
  max_temp   DOUBLE
);

CREATE JOB IF NOT EXISTS heat AS
INSERT INTO heat_spells
SELECT origin, MIN(time_hour), MAX(time_hour), COUNT(*), MAX(temp)
FROM TABLE(SESSION(TABLE hot_hours PARTITION BY origin, DESCRIPTOR(time_hour), INTERVAL '1' DAY))
GROUP BY origin, window_start, window_end;

CREATE VIEW IF NOT EXISTS cold_hours AS
SELECT origin, time_hour, temp FROM weather WHERE temp <= 32;

CREATE STREAM IF NOT EXISTS freeze_spells (
  origin     STRING,
  first_hour TIMESTAMP(3),
  last_hour  TIMESTAMP(3),
  cold_hours BIGINT,
  min_temp   DOUBLE
);

CREATE JOB IF NOT EXISTS freeze AS
INSERT INTO freeze_spells
SELECT origin, MIN(time_hour), MAX(time_hour), COUNT(*), MIN(temp)
FROM TABLE(SESSION(TABLE cold_hours PARTITION BY origin, DESCRIPTOR(time_hour), INTERVAL '18' HOUR))
GROUP BY origin, window_start, window_end;
