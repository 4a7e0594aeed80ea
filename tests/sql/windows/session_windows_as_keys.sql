-- Sessions of several cities that are the same window: it is a key of the outer query.
--# input orders
{"id": 1, "city": "a", "price": 1, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "b", "price": 2, "time": "2024-05-01T10:00:00Z"}
{"id": 3, "city": "a", "price": 3, "time": "2024-05-01T10:00:05Z"}
{"id": 4, "city": "b", "price": 4, "time": "2024-05-01T10:00:05Z"}
{"id": 5, "city": "a", "price": 5, "time": "2024-05-01T10:00:40Z"}
{"id": 6, "city": "b", "price": 6, "time": "2024-05-01T10:00:41Z"}
{"id": 7, "city": "c", "price": 7, "time": "2024-05-01T10:00:40Z"}
{"id": 8, "city": "c", "price": 8, "time": "2024-05-01T10:00:45Z"}
{"id": 9, "city": "a", "price": 9, "time": "2024-05-01T10:00:45Z"}
{"id": 10, "city": "a", "price": 10, "time": "2024-05-01T10:01:40Z"}
{"id": 11, "city": "c", "price": 11, "time": "2024-05-01T10:01:40Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '10 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT window, count(*) AS cities, max(n) AS most
FROM (SELECT session(INTERVAL '20 seconds') AS window, city, count(*) AS n FROM orders GROUP BY window, city)
GROUP BY window;

--# expect final
{"window": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:25"}, "cities": 2, "most": 2}
{"window": {"start": "2024-05-01T10:00:40", "end": "2024-05-01T10:01:05"}, "cities": 2, "most": 2}
{"window": {"start": "2024-05-01T10:00:41", "end": "2024-05-01T10:01:01"}, "cities": 1, "most": 1}
{"window": {"start": "2024-05-01T10:01:40", "end": "2024-05-01T10:02:00"}, "cities": 2, "most": 1}
--# end
--# expect late 0
