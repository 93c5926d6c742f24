-- What comes in: a server's CPU, per cent, a sample every five minutes or more often.

CREATE STREAM IF NOT EXISTS cpu (
  ts    TIMESTAMP(3) NOT NULL,
  value DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH ('scan.watermark.idle-timeout' = '2 minutes');
