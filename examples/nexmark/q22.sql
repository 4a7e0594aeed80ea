-- Nexmark q22: the folders of every bid's page.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '100000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.channel AS channel,
       bid.url AS url
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, bidder, price, channel,
       split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2, split_part(url, '/', 6) AS dir3
FROM bids;
