-- It gets cold fast: 15 degrees less than three hours ago. Told once, and again after half a day at the earliest.

CREATE STREAM IF NOT EXISTS sudden_drops (
  origin   STRING,
  fired_at TIMESTAMP(3),
  temp     DOUBLE
);

CREATE TRIGGER IF NOT EXISTS rate_of_change ON observations
WHEN temp <= ago(temp, INTERVAL '3' HOUR) - 15
REARM AFTER INTERVAL '12' HOUR
EXECUTE INSERT INTO sudden_drops
WITH (start = 'earliest');
