-- Nexmark q2: bids for some of the auctions.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '100000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.price AS price
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, price FROM bids WHERE auction % 123 = 0;
