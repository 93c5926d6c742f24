-- A station that says nothing: no reading for three hours. It fires when the time is over, not with the next reading,
-- and a second trigger tells when the station is back.

CREATE STREAM IF NOT EXISTS missing_stations (
  origin   STRING,
  fired_at TIMESTAMP(3),
  since    TIMESTAMP(3)
);

CREATE TRIGGER IF NOT EXISTS missing_device ON observations
WHEN frozen(INTERVAL '3' HOUR)
EXECUTE INSERT INTO missing_stations
WITH (start = 'earliest');

CREATE STREAM IF NOT EXISTS returned_stations (
  origin   STRING,
  fired_at TIMESTAMP(3)
);

CREATE TRIGGER IF NOT EXISTS returned_device ON observations
WHEN live(INTERVAL '3' HOUR)
EXECUTE INSERT INTO returned_stations
WITH (start = 'earliest');
