-- All orders of a window that cost as much as its dearest.
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

CREATE VIEW o AS SELECT id, price, tumble(INTERVAL '1 minute') AS window FROM orders;
SELECT o.id, m.dearest
FROM o JOIN (SELECT tumble(INTERVAL '1 minute') AS window, max(price) AS dearest FROM orders GROUP BY 1) AS m
ON o.window = m.window AND o.price = m.dearest;
--# expect final
{"id": 3, "dearest": 30}
{"id": 9, "dearest": 9}
--# end
--# expect late 2
