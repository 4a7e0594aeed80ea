-- The slide is longer than the width: rows between two windows belong to none, and are neither counted nor late.
--# input orders
{"id": 1, "city": null, "price": 34, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Bern", "price": 58, "time": "2024-05-01T10:00:06Z"}
{"id": 3, "city": "Kyiv", "price": 40, "time": "2024-05-01T10:00:00Z"}
{"id": 4, "city": "Rome", "price": 38, "time": "2024-05-01T10:00:00Z"}
{"id": 5, "city": "Kyiv", "price": 16, "time": "2024-05-01T10:00:26Z"}
{"id": 6, "city": "Oslo", "price": 12, "time": "2024-05-01T10:00:00Z"}
{"id": 7, "city": null, "price": 53, "time": "2024-05-01T10:00:20Z"}
{"id": 8, "city": "Kyiv", "price": 25, "time": "2024-05-01T10:00:06Z"}
{"id": 9, "city": "Oslo", "price": 40, "time": "2024-05-01T10:00:53Z"}
{"id": 10, "city": null, "price": 24, "time": "2024-05-01T10:01:00Z"}
{"id": 11, "city": "Rome", "price": 10, "time": "2024-05-01T10:01:06Z"}
{"id": 12, "city": "Rome", "price": 19, "time": "2024-05-01T10:00:33Z"}
{"id": 13, "city": "Bern", "price": 30, "time": "2024-05-01T10:01:20Z"}
{"id": 14, "city": "Kyiv", "price": 45, "time": "2024-05-01T10:00:46Z"}
{"id": 15, "city": "Kyiv", "price": 46, "time": "2024-05-01T10:01:13Z"}
{"id": 16, "city": "Kyiv", "price": 59, "time": "2024-05-01T10:01:00Z"}
{"id": 17, "city": "Bern", "price": 6, "time": "2024-05-01T10:01:46Z"}
{"id": 18, "city": "Oslo", "price": 31, "time": "2024-05-01T10:01:53Z"}
{"id": 19, "city": "Bern", "price": 43, "time": "2024-05-01T10:02:00Z"}
{"id": 20, "city": "Bern", "price": 26, "time": "2024-05-01T10:01:46Z"}
{"id": 21, "city": "Kyiv", "price": 36, "time": "2024-05-01T10:01:33Z"}
{"id": 22, "city": null, "price": 37, "time": "2024-05-01T10:02:16Z"}
{"id": 23, "city": null, "price": 14, "time": "2024-05-01T10:02:06Z"}
{"id": 24, "city": "Rome", "price": 54, "time": "2024-05-01T10:02:29Z"}
{"id": 25, "city": null, "price": 42, "time": "2024-05-01T10:02:36Z"}
{"id": 26, "city": "Bern", "price": 34, "time": "2024-05-01T10:02:46Z"}
{"id": 27, "city": null, "price": 6, "time": "2024-05-01T10:02:13Z"}
{"id": 28, "city": null, "price": 17, "time": "2024-05-01T10:03:00Z"}
{"id": 29, "city": "Rome", "price": 4, "time": "2024-05-01T10:03:02Z"}
{"id": 30, "city": "Kyiv", "price": 5, "time": "2024-05-01T10:02:53Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT city, count(*) AS n, max(id) AS newest
FROM orders GROUP BY city, hop(INTERVAL '20 seconds', INTERVAL '8 seconds');

--# expect final
{"city": null, "n": 1, "newest": 1}
{"city": "Bern", "n": 1, "newest": 2}
{"city": "Kyiv", "n": 1, "newest": 3}
{"city": "Rome", "n": 1, "newest": 4}
{"city": "Kyiv", "n": 1, "newest": 5}
{"city": null, "n": 1, "newest": 7}
{"city": null, "n": 1, "newest": 10}
{"city": "Rome", "n": 1, "newest": 11}
{"city": "Bern", "n": 1, "newest": 13}
{"city": "Bern", "n": 1, "newest": 17}
{"city": "Bern", "n": 1, "newest": 19}
{"city": "Bern", "n": 1, "newest": 26}
{"city": null, "n": 1, "newest": 28}
{"city": "Rome", "n": 1, "newest": 29}
--# end
--# expect late 6
