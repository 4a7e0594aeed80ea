-- A sum up to each row, and over the rows around it.
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

SELECT id, sum(price) OVER (PARTITION BY window ORDER BY id) AS so_far,
    sum(price) OVER (PARTITION BY window ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around,
    price * 100 / sum(price) OVER (PARTITION BY window) AS share
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);
--# expect final
{"around":10,"id":7,"share":10,"so_far":1}
{"around":10,"id":9,"share":90,"so_far":10}
{"around":25,"id":6,"share":23,"so_far":85}
{"around":30,"id":1,"share":11,"so_far":10}
{"around":55,"id":3,"share":35,"so_far":60}
{"around":55,"id":4,"share":5,"so_far":65}
{"around":60,"id":2,"share":23,"so_far":30}
{"around":9,"id":10,"share":null,"so_far":10}
{"around":null,"id":5,"share":null,"so_far":null}
--# end
--# expect late 1
