-- Nexmark q8: people who opened an auction within the ten seconds in which they came.
CREATE TABLE nexmark WITH (
    connector = 'nexmark', event_rate = '100000', message_count = '1000000', pace = 'max'
);
CREATE VIEW people AS
SELECT person.id AS id, person.name AS name FROM nexmark WHERE person IS NOT NULL;

CREATE VIEW newcomers AS
SELECT tumble(INTERVAL '10 seconds') AS window, id, name FROM people GROUP BY window, id, name;

CREATE VIEW auctions AS
SELECT auction.seller AS seller FROM nexmark WHERE auction IS NOT NULL;

CREATE VIEW sellers AS
SELECT tumble(INTERVAL '10 seconds') AS window, seller FROM auctions GROUP BY window, seller;

SELECT newcomers.window.start AS start, newcomers.id AS id, newcomers.name AS name
FROM newcomers JOIN sellers ON newcomers.window = sellers.window AND newcomers.id = sellers.seller;
