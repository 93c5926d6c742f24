-- One alert for each frost: a station fires at 32 degrees, and not again before it has had 36.

CREATE STREAM IF NOT EXISTS freeze_alerts (
  origin   STRING,
  fired_at TIMESTAMP(3),
  temp     DOUBLE
);

CREATE TRIGGER IF NOT EXISTS freeze_alert ON observations
WHEN temp <= 32 UNTIL temp >= 36
EXECUTE INSERT INTO freeze_alerts
WITH (start = 'earliest');
