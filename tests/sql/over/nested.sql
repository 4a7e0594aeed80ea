-- Results of OVER are rows of the same window: they are ranked again, and grouped.
--# input orders
{"id": 1, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:05Z"}
{"id": 3, "city": "Rome", "price": 30, "time": "2024-05-01T10:00:20Z"}
{"id": 4, "city": null, "price": 5, "time": "2024-05-01T10:00:59Z"}
{"id": 5, "city": "Bern", "price": null, "time": "2024-05-01T10:01:00Z"}
{"id": 6, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:55Z"}
{"id": 7, "city": "Rome", "price": 1, "time": "2024-05-01T10:02:30Z"}
{"id": 8, "city": "Lima", "price": 2, "time": "2024-05-01T10:00:10Z"}
{"id": 9, "city": "Pisa", "price": 9, "time": "2024-05-01T10:02:31Z"}
{"id": 10, "city": "Rome", "price": null, "time": "2024-05-01T10:02:40Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '10 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

CREATE VIEW numbered AS
SELECT *, row_number() OVER (PARTITION BY window, city ORDER BY time) AS n
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);
SELECT window.start AS start, n, count(*) AS cities, sum(before) AS before
FROM (SELECT *, lag(id) OVER (PARTITION BY window, n ORDER BY id) AS before FROM numbered)
GROUP BY window, n;
--# expect final
{"start": "2024-05-01T10:00:00", "n": 1, "cities": 3, "before": 3}
{"start": "2024-05-01T10:00:00", "n": 2, "cities": 2, "before": 3}
{"start": "2024-05-01T10:01:00", "n": 1, "cities": 1, "before": null}
{"start": "2024-05-01T10:02:00", "n": 1, "cities": 2, "before": 7}
{"start": "2024-05-01T10:02:00", "n": 2, "cities": 1, "before": null}
--# end
--# expect late 1
--# one-key the orders of a city in a window are two at most
