-- Several partitions and orders in one query.
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

SELECT id, first_value(id) OVER by_city AS first, count(*) OVER w AS rows, ntile(2) OVER (PARTITION BY window ORDER BY id) AS half
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders)
WINDOW w AS (PARTITION BY window), by_city AS (PARTITION BY window, upper(city) ORDER BY id);
--# expect final
{"id": 1, "first": 1, "rows": 5, "half": 1}
{"id": 2, "first": 2, "rows": 5, "half": 1}
{"id": 3, "first": 1, "rows": 5, "half": 1}
{"id": 4, "first": 4, "rows": 5, "half": 2}
{"id": 6, "first": 2, "rows": 5, "half": 2}
{"id": 5, "first": 5, "rows": 1, "half": 1}
{"id": 7, "first": 7, "rows": 3, "half": 1}
{"id": 9, "first": 9, "rows": 3, "half": 1}
{"id": 10, "first": 7, "rows": 3, "half": 2}
--# end
--# expect late 1
