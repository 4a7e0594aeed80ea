-- Sessions of a city: rows less than 25 seconds apart, in any order. A row before the watermark is late.
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

SELECT session(INTERVAL '25 seconds') AS window, city, count(*) AS n, sum(price) AS total, min(id) AS "first"
FROM orders GROUP BY session(INTERVAL '25 seconds'), city;

--# expect final
{"window": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": "Rome", "n": 2, "total": 31, "first": 1}
{"window": {"start": "2024-05-01T10:00:58", "end": "2024-05-01T10:01:23"}, "city": "Rome", "n": 1, "total": 54, "first": 10}
{"window": {"start": "2024-05-01T10:05:12", "end": "2024-05-01T10:05:37"}, "city": "Rome", "n": 1, "total": 33, "first": 41}
{"window": {"start": "2024-05-01T10:00:16", "end": "2024-05-01T10:00:59"}, "city": null, "n": 2, "total": 73, "first": 3}
{"window": {"start": "2024-05-01T10:02:00", "end": "2024-05-01T10:02:41"}, "city": null, "n": 2, "total": 93, "first": 16}
{"window": {"start": "2024-05-01T10:02:45", "end": "2024-05-01T10:03:37"}, "city": null, "n": 3, "total": 105, "first": 22}
{"window": {"start": "2024-05-01T10:03:44", "end": "2024-05-01T10:04:09"}, "city": null, "n": 1, "total": null, "first": 29}
{"window": {"start": "2024-05-01T10:05:04", "end": "2024-05-01T10:05:29"}, "city": null, "n": 1, "total": 42, "first": 39}
{"window": {"start": "2024-05-01T10:06:00", "end": "2024-05-01T10:06:30"}, "city": null, "n": 2, "total": 58, "first": 46}
{"window": {"start": "2024-05-01T10:00:32", "end": "2024-05-01T10:01:37"}, "city": "Bern", "n": 3, "total": 78, "first": 5}
{"window": {"start": "2024-05-01T10:02:08", "end": "2024-05-01T10:02:57"}, "city": "Bern", "n": 2, "total": 46, "first": 17}
{"window": {"start": "2024-05-01T10:03:17", "end": "2024-05-01T10:03:42"}, "city": "Bern", "n": 1, "total": 46, "first": 26}
{"window": {"start": "2024-05-01T10:04:13", "end": "2024-05-01T10:04:38"}, "city": "Bern", "n": 1, "total": 24, "first": 33}
{"window": {"start": "2024-05-01T10:05:44", "end": "2024-05-01T10:06:09"}, "city": "Bern", "n": 1, "total": 28, "first": 44}
{"window": {"start": "2024-05-01T10:06:18", "end": "2024-05-01T10:06:43"}, "city": "Bern", "n": 1, "total": 26, "first": 50}
{"window": {"start": "2024-05-01T10:00:40", "end": "2024-05-01T10:01:05"}, "city": "Kyiv", "n": 1, "total": 58, "first": 6}
{"window": {"start": "2024-05-01T10:01:25", "end": "2024-05-01T10:01:58"}, "city": "Kyiv", "n": 2, "total": 95, "first": 12}
{"window": {"start": "2024-05-01T10:02:26", "end": "2024-05-01T10:02:51"}, "city": "Kyiv", "n": 1, "total": 19, "first": 21}
{"window": {"start": "2024-05-01T10:03:28", "end": "2024-05-01T10:03:53"}, "city": "Kyiv", "n": 1, "total": 30, "first": 27}
{"window": {"start": "2024-05-01T10:04:10", "end": "2024-05-01T10:05:45"}, "city": "Kyiv", "n": 5, "total": 128, "first": 34}
{"window": {"start": "2024-05-01T10:06:10", "end": "2024-05-01T10:06:35"}, "city": "Kyiv", "n": 1, "total": 21, "first": 49}
{"window": {"start": "2024-05-01T10:00:56", "end": "2024-05-01T10:01:21"}, "city": "Oslo", "n": 1, "total": 36, "first": 8}
{"window": {"start": "2024-05-01T10:01:44", "end": "2024-05-01T10:02:09"}, "city": "Oslo", "n": 1, "total": 44, "first": 14}
{"window": {"start": "2024-05-01T10:03:36", "end": "2024-05-01T10:04:17"}, "city": "Oslo", "n": 2, "total": 39, "first": 28}
{"window": {"start": "2024-05-01T10:04:48", "end": "2024-05-01T10:05:13"}, "city": "Oslo", "n": 1, "total": 51, "first": 38}
{"window": {"start": "2024-05-01T10:05:44", "end": "2024-05-01T10:06:09"}, "city": "Oslo", "n": 1, "total": 1, "first": 45}
{"window": {"start": "2024-05-01T10:06:13", "end": "2024-05-01T10:06:38"}, "city": "Oslo", "n": 1, "total": 16, "first": 48}
--# end
--# expect late 8
