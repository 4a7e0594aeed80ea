-- Flink's form of a window, grouped by its bounds and ranked within them.
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

SELECT window_start, city, total FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY total DESC NULLS LAST, city) AS rn
    FROM (
        SELECT window_start, window_end, city, sum(price) AS total
        FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(time), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end, city
    )
) WHERE rn <= 2;
--# expect final
{"window_start": "2024-05-01T10:00:00", "city": "Oslo", "total": 40}
{"window_start": "2024-05-01T10:00:00", "city": "Rome", "total": 40}
{"window_start": "2024-05-01T10:01:00", "city": "Bern", "total": null}
{"window_start": "2024-05-01T10:02:00", "city": "Pisa", "total": 9}
{"window_start": "2024-05-01T10:02:00", "city": "Rome", "total": 1}
--# end
--# expect late 1
