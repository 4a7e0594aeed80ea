-- Nexmark q5: the auctions with the most bids in the last ten seconds, every two seconds.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '3000000', pace = 'max'
);
CREATE VIEW bids AS
SELECT bid.auction AS auction
FROM nexmark WHERE bid IS NOT NULL;

-- Counted once, however many read it.
CREATE VIEW counts AS
SELECT hop(INTERVAL '2 seconds', INTERVAL '10 seconds') AS window, auction, count(*) AS num
FROM bids GROUP BY window, auction;

CREATE VIEW most AS
SELECT window, max(num) AS num FROM counts GROUP BY window;

SELECT counts.window.start AS start, counts.auction AS auction, counts.num AS num
FROM counts JOIN most ON counts.window = most.window AND counts.num >= most.num;
