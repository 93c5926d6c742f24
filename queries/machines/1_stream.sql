-- What comes in: the temperature of a machine, a sample every five minutes or more often. An hour of them may come twice.

CREATE STREAM IF NOT EXISTS machine_temperature (
  ts    TIMESTAMP(3) NOT NULL,
  value DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
);
