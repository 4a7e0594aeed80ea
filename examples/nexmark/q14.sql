-- Nexmark q14: bids of some price, with the time of day and a count of letters.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '100000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.datetime AS datetime,
       bid.extra AS extra
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, bidder, CAST(0.908 * price AS DECIMAL(23, 3)) AS price,
       CASE WHEN date_part('hour', datetime) BETWEEN 8 AND 18 THEN 'dayTime'
            WHEN date_part('hour', datetime) <= 6 OR date_part('hour', datetime) >= 20 THEN 'nightTime'
            ELSE 'otherTime' END AS bid_time,
       datetime, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
FROM bids WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
