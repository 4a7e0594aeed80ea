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

SELECT id, upper(city) AS city, price * 2 AS twice, CASE WHEN price > 9 THEN 'dear' ELSE 'cheap' END AS kind,
       date_trunc('hour', time) AS hour, time
FROM orders
WHERE city IS NOT NULL AND price BETWEEN 5 AND 20;
--# expect final
{"id": 1, "city": "ROME", "twice": 20, "kind": "dear", "hour": "2024-05-01T10:00:00", "time": "2024-05-01T10:00:00"}
{"id": 2, "city": "OSLO", "twice": 40, "kind": "dear", "hour": "2024-05-01T10:00:00", "time": "2024-05-01T10:00:05"}
{"id": 6, "city": "OSLO", "twice": 14, "kind": "cheap", "hour": "2024-05-01T10:00:00", "time": "2024-05-01T10:00:55"}
{"id": 9, "city": "PISA", "twice": 18, "kind": "cheap", "hour": "2024-05-01T10:00:00", "time": "2024-05-01T10:02:31"}
--# end
