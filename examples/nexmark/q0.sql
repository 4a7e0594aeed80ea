-- Nexmark q0: every bid, as it is.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '1000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.datetime AS datetime,
       bid.extra AS extra
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, bidder, price, datetime, extra FROM bids;
