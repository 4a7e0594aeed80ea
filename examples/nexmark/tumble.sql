-- Nexmark: bids of every auction in each ten seconds.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '1000000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.price AS price
FROM nexmark WHERE bid IS NOT NULL;

SELECT window.start AS start, auction, num, total FROM (
    SELECT tumble(INTERVAL '10 seconds') AS window, auction, count(*) AS num, sum(price) AS total
    FROM bids GROUP BY window, auction
);
