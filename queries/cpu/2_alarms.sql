-- Busy and calm: the mean of five minutes, twice in a row. Looked at each minute.

CREATE ALARM IF NOT EXISTS cpu_high
ON cpu STATISTIC average(value) PERIOD INTERVAL '5' MINUTE
WITH (comparison = '>', threshold = 70, evaluation_periods = 2, unit = 'Percent');

CREATE ALARM IF NOT EXISTS cpu_low
ON cpu STATISTIC average(value) PERIOD INTERVAL '5' MINUTE
WITH (comparison = '<', threshold = 50, evaluation_periods = 2, unit = 'Percent');
