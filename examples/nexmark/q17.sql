-- Nexmark q17: figures of every auction's bids, day by day, as they change.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '100000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.price AS price, bid.datetime AS datetime
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, date_trunc('day', datetime) AS day, count(*) AS total_bids,
       count(*) FILTER (WHERE price < 10000) AS rank1_bids,
       count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
       count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
       min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
FROM bids GROUP BY auction, date_trunc('day', datetime);
