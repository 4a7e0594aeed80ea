-- An aggregate without a window revises its result.
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

CREATE TABLE totals (city TEXT, n BIGINT, total BIGINT)
WITH (connector = 'single_file', path = 'totals.jsonl', type = 'sink', format = 'debezium_json');
INSERT INTO totals SELECT city, count(*), sum(price) FROM orders GROUP BY city;
--# expect final
{"city": "Rome", "n": 3, "total": 41}
{"city": "Oslo", "n": 2, "total": 27}
{"city": null, "n": 1, "total": 5}
{"city": "Bern", "n": 1, "total": null}
{"city": "Lima", "n": 1, "total": 2}
{"city": "Pisa", "n": 1, "total": 9}
{"city": "Kyiv", "n": 1, "total": 4}
--# end
--# expect late 0
