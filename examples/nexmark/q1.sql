-- Nexmark q1: the price of every bid in euros.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '1000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.datetime AS datetime,
       bid.extra AS extra
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, bidder, CAST(0.908 * price AS DECIMAL(23, 3)) AS price, datetime, extra FROM bids;
