-- Rows are numbered within their window and city.
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

SELECT id, city, row_number() OVER (PARTITION BY window, city ORDER BY time DESC) AS n
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);
--# expect final
{"city":"Bern","id":5,"n":1}
{"city":"Oslo","id":2,"n":2}
{"city":"Oslo","id":6,"n":1}
{"city":"Pisa","id":9,"n":1}
{"city":"Rome","id":1,"n":2}
{"city":"Rome","id":10,"n":1}
{"city":"Rome","id":3,"n":1}
{"city":"Rome","id":7,"n":2}
{"city":null,"id":4,"n":1}
--# end
--# expect late 1
