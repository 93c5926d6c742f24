-- How many bids of each bidder arrive in ten seconds.
CREATE VIEW IF NOT EXISTS B AS SELECT *, PROCTIME() AS p_time FROM bid;

SELECT B.bidder, COUNT(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM TABLE(TUMBLE(TABLE B, DESCRIPTOR(p_time), INTERVAL '10' SECOND)) AS B
GROUP BY B.bidder, window_start, window_end
