-- Nexmark q7: the bids with the highest price of every ten seconds.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '3000000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.extra AS extra
FROM nexmark WHERE bid IS NOT NULL;

CREATE VIEW windowed AS
SELECT *, tumble(INTERVAL '10 seconds') AS window FROM bids;

CREATE VIEW most AS
SELECT tumble(INTERVAL '10 seconds') AS window, max(price) AS price FROM bids GROUP BY window;

SELECT windowed.window.start AS start, windowed.auction AS auction, windowed.price AS price,
       windowed.bidder AS bidder, windowed.extra AS extra
FROM windowed JOIN most ON windowed.window = most.window AND windowed.price = most.price;
