-- Sessions of all rows together.
--# one-key there is no key
--# input orders
{"id": 1, "city": "Rome", "price": 31, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Rome", "price": null, "time": "2024-05-01T10:00:05Z"}
{"id": 3, "city": null, "price": 30, "time": "2024-05-01T10:00:16Z"}
{"id": 4, "city": "Bern", "price": 20, "time": "2024-05-01T10:00:00Z"}
{"id": 5, "city": "Bern", "price": 31, "time": "2024-05-01T10:00:32Z"}
{"id": 6, "city": "Kyiv", "price": 58, "time": "2024-05-01T10:00:40Z"}
{"id": 7, "city": null, "price": 43, "time": "2024-05-01T10:00:34Z"}
{"id": 8, "city": "Oslo", "price": 36, "time": "2024-05-01T10:00:56Z"}
{"id": 9, "city": "Bern", "price": 42, "time": "2024-05-01T10:00:50Z"}
{"id": 10, "city": "Rome", "price": 54, "time": "2024-05-01T10:00:58Z"}
{"id": 11, "city": "Bern", "price": 5, "time": "2024-05-01T10:01:12Z"}
{"id": 12, "city": "Kyiv", "price": 51, "time": "2024-05-01T10:01:25Z"}
{"id": 13, "city": "Kyiv", "price": 44, "time": "2024-05-01T10:01:33Z"}
{"id": 14, "city": "Oslo", "price": 44, "time": "2024-05-01T10:01:44Z"}
{"id": 15, "city": "Bern", "price": 6, "time": "2024-05-01T10:01:22Z"}
{"id": 16, "city": null, "price": 57, "time": "2024-05-01T10:02:00Z"}
{"id": 17, "city": "Bern", "price": 31, "time": "2024-05-01T10:02:08Z"}
{"id": 18, "city": null, "price": 36, "time": "2024-05-01T10:02:16Z"}
{"id": 19, "city": null, "price": 58, "time": "2024-05-01T10:01:54Z"}
{"id": 20, "city": "Bern", "price": 15, "time": "2024-05-01T10:02:32Z"}
{"id": 21, "city": "Kyiv", "price": 19, "time": "2024-05-01T10:02:26Z"}
{"id": 22, "city": null, "price": 7, "time": "2024-05-01T10:02:45Z"}
{"id": 23, "city": null, "price": 56, "time": "2024-05-01T10:02:56Z"}
{"id": 24, "city": null, "price": 12, "time": "2024-05-01T10:02:34Z"}
{"id": 25, "city": null, "price": 42, "time": "2024-05-01T10:03:12Z"}
{"id": 26, "city": "Bern", "price": 46, "time": "2024-05-01T10:03:17Z"}
{"id": 27, "city": "Kyiv", "price": 30, "time": "2024-05-01T10:03:28Z"}
{"id": 28, "city": "Oslo", "price": 38, "time": "2024-05-01T10:03:36Z"}
{"id": 29, "city": null, "price": null, "time": "2024-05-01T10:03:44Z"}
{"id": 30, "city": "Oslo", "price": 1, "time": "2024-05-01T10:03:52Z"}
{"id": 31, "city": "Bern", "price": 35, "time": "2024-05-01T10:03:30Z"}
{"id": 32, "city": null, "price": 39, "time": "2024-05-01T10:03:38Z"}
{"id": 33, "city": "Bern", "price": 24, "time": "2024-05-01T10:04:13Z"}
{"id": 34, "city": "Kyiv", "price": 18, "time": "2024-05-01T10:04:10Z"}
{"id": 35, "city": "Kyiv", "price": 3, "time": "2024-05-01T10:04:32Z"}
{"id": 36, "city": "Kyiv", "price": 38, "time": "2024-05-01T10:04:40Z"}
{"id": 37, "city": "Kyiv", "price": 6, "time": "2024-05-01T10:04:18Z"}
{"id": 38, "city": "Oslo", "price": 51, "time": "2024-05-01T10:04:48Z"}
{"id": 39, "city": null, "price": 42, "time": "2024-05-01T10:05:04Z"}
{"id": 40, "city": "Kyiv", "price": 50, "time": "2024-05-01T10:05:04Z"}
{"id": 41, "city": "Rome", "price": 33, "time": "2024-05-01T10:05:12Z"}
{"id": 42, "city": "Kyiv", "price": 19, "time": "2024-05-01T10:05:20Z"}
{"id": 43, "city": "Kyiv", "price": 5, "time": "2024-05-01T10:05:06Z"}
{"id": 44, "city": "Bern", "price": 28, "time": "2024-05-01T10:05:44Z"}
{"id": 45, "city": "Oslo", "price": 1, "time": "2024-05-01T10:05:44Z"}
{"id": 46, "city": null, "price": 7, "time": "2024-05-01T10:06:00Z"}
{"id": 47, "city": null, "price": 51, "time": "2024-05-01T10:06:05Z"}
{"id": 48, "city": "Oslo", "price": 16, "time": "2024-05-01T10:06:13Z"}
{"id": 49, "city": "Kyiv", "price": 21, "time": "2024-05-01T10:06:10Z"}
{"id": 50, "city": "Bern", "price": 26, "time": "2024-05-01T10:06:18Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '10 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT w.start AS "start", n, middle
FROM (SELECT session(INTERVAL '9 seconds') AS w, count(*) AS n, median(id) AS middle FROM orders GROUP BY w);

--# expect final
{"start": "2024-05-01T10:00:00", "n": 2, "middle": 1.5}
{"start": "2024-05-01T10:00:16", "n": 1, "middle": 3}
{"start": "2024-05-01T10:00:32", "n": 3, "middle": 6}
{"start": "2024-05-01T10:00:50", "n": 3, "middle": 9}
{"start": "2024-05-01T10:01:12", "n": 1, "middle": 11}
{"start": "2024-05-01T10:01:25", "n": 2, "middle": 12.5}
{"start": "2024-05-01T10:01:44", "n": 1, "middle": 14}
{"start": "2024-05-01T10:02:00", "n": 3, "middle": 17}
{"start": "2024-05-01T10:02:26", "n": 2, "middle": 20.5}
{"start": "2024-05-01T10:02:45", "n": 1, "middle": 22}
{"start": "2024-05-01T10:02:56", "n": 1, "middle": 23}
{"start": "2024-05-01T10:03:12", "n": 2, "middle": 25.5}
{"start": "2024-05-01T10:03:28", "n": 4, "middle": 28.5}
{"start": "2024-05-01T10:04:10", "n": 2, "middle": 33.5}
{"start": "2024-05-01T10:04:32", "n": 3, "middle": 36}
{"start": "2024-05-01T10:05:04", "n": 4, "middle": 40.5}
{"start": "2024-05-01T10:05:44", "n": 2, "middle": 44.5}
{"start": "2024-05-01T10:06:00", "n": 5, "middle": 48}
--# end
--# expect late 8
