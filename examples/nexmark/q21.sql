-- Nexmark q21: the channel of every bid that names one, as a number.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '100000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.channel AS channel,
       bid.url AS url
FROM nexmark WHERE bid IS NOT NULL;

SELECT auction, bidder, price, channel,
       CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
            WHEN 'baidu' THEN '3' ELSE split_part(url, 'channel_id=', 2) END AS channel_id
FROM bids
WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu') OR url LIKE '%channel_id=%';
