-- The city with the most orders in each window.
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

SELECT window.start AS start, city, n FROM (
    SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, city) AS rn
    FROM (SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n FROM orders GROUP BY window, city)
) WHERE rn <= 1;
--# expect final
{"city":"Bern","n":1,"start":"2024-05-01T10:01:00"}
{"city":"Oslo","n":2,"start":"2024-05-01T10:00:00"}
{"city":"Rome","n":2,"start":"2024-05-01T10:02:00"}
--# end
--# expect late 1
