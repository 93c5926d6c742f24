-- Another definition of the job `heat`: a night ends a spell. For `headwater replay heat --query ... --diff`.
SELECT origin, MIN(time_hour), MAX(time_hour), COUNT(*), MAX(temp)
FROM TABLE(SESSION(TABLE hot_hours PARTITION BY origin, DESCRIPTOR(time_hour), INTERVAL '6' HOUR))
GROUP BY origin, window_start, window_end;
