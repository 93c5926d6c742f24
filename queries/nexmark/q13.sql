-- Bids with what a file says about their auction.
CREATE TABLE IF NOT EXISTS side_input (key BIGINT, `value` STRING) WITH (connector = 'filesystem', path = 'side_input.csv', format = 'csv');

SELECT B.auction, B.bidder, B.price, B.`dateTime`, S.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) AS B
JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON MOD(B.auction, 10000) = S.key
