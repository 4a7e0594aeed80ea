-- The orders that are the dearest of a window: both sides in Flink's form, joined by their bounds.
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

CREATE VIEW paid AS SELECT id, price, time FROM orders WHERE price > 0 AND id <> 8;
SELECT o.id, o.window_end AS "end"
FROM TABLE(HOP(TABLE paid, DESCRIPTOR(time), INTERVAL '30' SECOND, INTERVAL '1' MINUTE)) AS o
JOIN (
    SELECT max(price) AS dearest, window_start, window_end
    FROM table(hop(table paid, descriptor(time), INTERVAL '30' SECOND, INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end
) AS m ON o.price = m.dearest AND o.window_start = m.window_start AND o.window_end = m.window_end;
--# expect final
{"id": 3, "end": "2024-05-01T10:00:30"}
{"id": 3, "end": "2024-05-01T10:01:00"}
{"id": 6, "end": "2024-05-01T10:01:30"}
{"id": 9, "end": "2024-05-01T10:03:00"}
{"id": 9, "end": "2024-05-01T10:03:30"}
--# end
--# expect late 0
