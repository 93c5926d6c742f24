-- A sensor that is stuck: it reports, but the very same humidity for six hours. Air does not do that below saturation.

CREATE STREAM IF NOT EXISTS stuck_sensors (
  origin   STRING,
  fired_at TIMESTAMP(3),
  since    TIMESTAMP(3),
  humid    DOUBLE
);

CREATE TRIGGER IF NOT EXISTS frozen_sensor ON observations
WHEN humid = prev(humid) AND humid < 95 FOR INTERVAL '6' HOUR
EXECUTE INSERT INTO stuck_sensors
WITH (start = 'earliest');
