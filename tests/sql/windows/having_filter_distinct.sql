-- FILTER, DISTINCT, HAVING and grouping by an expression.
--# input orders
{"id": 1, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:05Z"}
{"id": 3, "city": "Rome", "price": 30, "time": "2024-05-01T10:00:20Z"}
{"id": 4, "city": null, "price": 5, "time": "2024-05-01T10:00:59Z"}
{"id": 5, "city": "Bern", "price": null, "time": "2024-05-01T10:01:00Z"}
{"id": 6, "city": "Oslo", "price": 7, "time": "2024-05-01T10:00:55Z"}
{"id": 7, "city": "Rome", "price": 1, "time": "2024-05-01T10:02:30Z"}
{"id": 8, "city": "Lima", "price": 2, "time": "2024-05-01T10:00:10Z"}
{"id": 9, "city": "Pisa", "price": 9, "time": "2024-05-01T10:02:31Z"}
{"id": 10, "city": "Kyiv", "price": 4, "time": "2024-05-01T10:02:40Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '10 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT id % 3 AS third, count(*) FILTER (WHERE price > 5) AS dear, count(DISTINCT city) AS cities
FROM orders
GROUP BY id % 3, tumble(INTERVAL '1 hour')
HAVING count(*) > 1;
--# expect final
{"third": 1, "dear": 1, "cities": 2}
{"third": 2, "dear": 1, "cities": 3}
{"third": 0, "dear": 3, "cities": 3}
--# end
--# expect late 0
