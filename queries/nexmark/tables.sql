-- The auction's events. Of 50 of them 1 is a person, 3 are auctions and 46 are bids; the three tables belong together.
CREATE TABLE person (
  id BIGINT,
  name STRING,
  emailAddress STRING,
  creditCard STRING,
  city STRING,
  state STRING,
  `dateTime` TIMESTAMP(3),
  extra STRING,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (connector = 'nexmark', 'table' = 'person', 'events.num' = '10000', 'start-time' = '2026-01-01T00:00:00Z', 'first-event.rate' = '100');

CREATE TABLE auction (
  id BIGINT,
  itemName STRING,
  description STRING,
  initialBid BIGINT,
  reserve BIGINT,
  `dateTime` TIMESTAMP(3),
  expires TIMESTAMP(3),
  seller BIGINT,
  category BIGINT,
  extra STRING,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (connector = 'nexmark', 'table' = 'auction', 'events.num' = '10000', 'start-time' = '2026-01-01T00:00:00Z', 'first-event.rate' = '100');

CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel STRING,
  url STRING,
  `dateTime` TIMESTAMP(3),
  extra STRING,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (connector = 'nexmark', 'table' = 'bid', 'events.num' = '10000', 'start-time' = '2026-01-01T00:00:00Z', 'first-event.rate' = '100');
