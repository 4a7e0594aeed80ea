-- Equal prices share a rank.
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

SELECT id, rank() OVER (PARTITION BY window ORDER BY price DESC NULLS LAST) AS r,
    dense_rank() OVER (PARTITION BY window ORDER BY price DESC NULLS LAST) AS d
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);
--# expect final
{"d":1,"id":3,"r":1}
{"d":1,"id":5,"r":1}
{"d":1,"id":9,"r":1}
{"d":2,"id":2,"r":2}
{"d":2,"id":6,"r":2}
{"d":2,"id":7,"r":2}
{"d":3,"id":1,"r":4}
{"d":3,"id":10,"r":3}
{"d":4,"id":4,"r":5}
--# end
--# expect late 1
