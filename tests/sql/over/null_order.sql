-- Nulls stand where they stand in batch: last, and first where the order is descending.
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

SELECT id, row_number() OVER (PARTITION BY window ORDER BY price, id) AS up,
    row_number() OVER (PARTITION BY window ORDER BY price DESC, id) AS down
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);
--# expect final
{"id": 1, "up": 2, "down": 4}
{"id": 2, "up": 3, "down": 2}
{"id": 3, "up": 5, "down": 1}
{"id": 4, "up": 1, "down": 5}
{"id": 6, "up": 4, "down": 3}
{"id": 5, "up": 1, "down": 1}
{"id": 7, "up": 1, "down": 3}
{"id": 9, "up": 2, "down": 2}
{"id": 10, "up": 3, "down": 1}
--# end
--# expect late 1
