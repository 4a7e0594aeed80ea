-- The slide does not divide the width: windows of 30 seconds every 12. Distinct values are not split before the shuffle.
--# input orders
{"id": 1, "city": "Rome", "price": 5, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Bern", "price": 53, "time": "2024-05-01T10:00:03Z"}
{"id": 3, "city": "Bern", "price": 16, "time": "2024-05-01T10:00:07Z"}
{"id": 4, "city": "Oslo", "price": 38, "time": "2024-05-01T10:00:00Z"}
{"id": 5, "city": null, "price": 43, "time": "2024-05-01T10:00:15Z"}
{"id": 6, "city": "Kyiv", "price": 40, "time": "2024-05-01T10:00:18Z"}
{"id": 7, "city": null, "price": 23, "time": "2024-05-01T10:00:16Z"}
{"id": 8, "city": "Kyiv", "price": 32, "time": "2024-05-01T10:00:14Z"}
{"id": 9, "city": "Rome", "price": 55, "time": "2024-05-01T10:00:28Z"}
{"id": 10, "city": "Bern", "price": 29, "time": "2024-05-01T10:00:33Z"}
{"id": 11, "city": "Kyiv", "price": 27, "time": "2024-05-01T10:00:35Z"}
{"id": 12, "city": "Oslo", "price": 35, "time": "2024-05-01T10:00:29Z"}
{"id": 13, "city": "Oslo", "price": 14, "time": "2024-05-01T10:00:45Z"}
{"id": 14, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:48Z"}
{"id": 15, "city": "Oslo", "price": 32, "time": "2024-05-01T10:00:52Z"}
{"id": 16, "city": "Bern", "price": 32, "time": "2024-05-01T10:00:44Z"}
{"id": 17, "city": null, "price": 11, "time": "2024-05-01T10:00:30Z"}
{"id": 18, "city": "Kyiv", "price": 47, "time": "2024-05-01T10:00:57Z"}
{"id": 19, "city": "Bern", "price": 50, "time": "2024-05-01T10:00:55Z"}
{"id": 20, "city": "Bern", "price": 23, "time": "2024-05-01T10:00:59Z"}
{"id": 21, "city": "Kyiv", "price": 10, "time": "2024-05-01T10:00:25Z"}
{"id": 22, "city": "Kyiv", "price": 45, "time": "2024-05-01T10:00:28Z"}
{"id": 23, "city": "Kyiv", "price": 41, "time": "2024-05-01T10:00:52Z"}
{"id": 24, "city": "Oslo", "price": 31, "time": "2024-05-01T10:01:14Z"}
{"id": 25, "city": "Kyiv", "price": 32, "time": "2024-05-01T10:01:28Z"}
{"id": 26, "city": "Bern", "price": 42, "time": "2024-05-01T10:01:21Z"}
{"id": 27, "city": "Kyiv", "price": 22, "time": "2024-05-01T10:01:31Z"}
{"id": 28, "city": null, "price": 46, "time": "2024-05-01T10:01:29Z"}
{"id": 29, "city": "Kyiv", "price": 42, "time": "2024-05-01T10:01:39Z"}
{"id": 30, "city": "Bern", "price": 52, "time": "2024-05-01T10:01:48Z"}
{"id": 31, "city": "Oslo", "price": 56, "time": "2024-05-01T10:01:22Z"}
{"id": 32, "city": "Bern", "price": 49, "time": "2024-05-01T10:01:44Z"}
{"id": 33, "city": "Bern", "price": 19, "time": "2024-05-01T10:01:54Z"}
{"id": 34, "city": null, "price": 35, "time": "2024-05-01T10:01:13Z"}
{"id": 35, "city": null, "price": 41, "time": "2024-05-01T10:01:55Z"}
{"id": 36, "city": null, "price": 26, "time": "2024-05-01T10:01:59Z"}
{"id": 37, "city": "Oslo", "price": 31, "time": "2024-05-01T10:02:13Z"}
{"id": 38, "city": "Bern", "price": 59, "time": "2024-05-01T10:02:06Z"}
{"id": 39, "city": null, "price": 56, "time": "2024-05-01T10:01:52Z"}
{"id": 40, "city": "Bern", "price": 46, "time": "2024-05-01T10:02:26Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT hop(INTERVAL '12 seconds', INTERVAL '30 seconds') AS w, city, count(*) AS n, count(DISTINCT price) AS prices
FROM orders GROUP BY hop(INTERVAL '12 seconds', INTERVAL '30 seconds'), city;

--# expect final
{"w": {"start": "2024-05-01T09:59:36", "end": "2024-05-01T10:00:06"}, "city": "Rome", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T09:59:36", "end": "2024-05-01T10:00:06"}, "city": "Bern", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T09:59:36", "end": "2024-05-01T10:00:06"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T09:59:48", "end": "2024-05-01T10:00:18"}, "city": "Rome", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T09:59:48", "end": "2024-05-01T10:00:18"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T09:59:48", "end": "2024-05-01T10:00:18"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T09:59:48", "end": "2024-05-01T10:00:18"}, "city": null, "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T09:59:48", "end": "2024-05-01T10:00:18"}, "city": "Kyiv", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": "Rome", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": null, "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:30"}, "city": "Kyiv", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:12", "end": "2024-05-01T10:00:42"}, "city": null, "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:12", "end": "2024-05-01T10:00:42"}, "city": "Kyiv", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:00:12", "end": "2024-05-01T10:00:42"}, "city": "Rome", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:12", "end": "2024-05-01T10:00:42"}, "city": "Bern", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:12", "end": "2024-05-01T10:00:42"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:24", "end": "2024-05-01T10:00:54"}, "city": "Rome", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:24", "end": "2024-05-01T10:00:54"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:24", "end": "2024-05-01T10:00:54"}, "city": "Kyiv", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:24", "end": "2024-05-01T10:00:54"}, "city": "Oslo", "n": 4, "prices": 4}
{"w": {"start": "2024-05-01T10:00:24", "end": "2024-05-01T10:00:54"}, "city": null, "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:00:36", "end": "2024-05-01T10:01:06"}, "city": "Oslo", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:00:36", "end": "2024-05-01T10:01:06"}, "city": "Bern", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:00:36", "end": "2024-05-01T10:01:06"}, "city": "Kyiv", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:48", "end": "2024-05-01T10:01:18"}, "city": "Oslo", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:00:48", "end": "2024-05-01T10:01:18"}, "city": "Kyiv", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:00:48", "end": "2024-05-01T10:01:18"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:01:30"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:01:30"}, "city": "Kyiv", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:01:30"}, "city": "Bern", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:01:30"}, "city": null, "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:12", "end": "2024-05-01T10:01:42"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:12", "end": "2024-05-01T10:01:42"}, "city": "Kyiv", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:01:12", "end": "2024-05-01T10:01:42"}, "city": "Bern", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:12", "end": "2024-05-01T10:01:42"}, "city": null, "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:24", "end": "2024-05-01T10:01:54"}, "city": "Kyiv", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:01:24", "end": "2024-05-01T10:01:54"}, "city": null, "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:24", "end": "2024-05-01T10:01:54"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:01:36", "end": "2024-05-01T10:02:06"}, "city": "Kyiv", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:01:36", "end": "2024-05-01T10:02:06"}, "city": "Bern", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:01:36", "end": "2024-05-01T10:02:06"}, "city": null, "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:01:48", "end": "2024-05-01T10:02:18"}, "city": "Bern", "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:01:48", "end": "2024-05-01T10:02:18"}, "city": null, "n": 3, "prices": 3}
{"w": {"start": "2024-05-01T10:01:48", "end": "2024-05-01T10:02:18"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:02:00", "end": "2024-05-01T10:02:30"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:02:00", "end": "2024-05-01T10:02:30"}, "city": "Bern", "n": 2, "prices": 2}
{"w": {"start": "2024-05-01T10:02:12", "end": "2024-05-01T10:02:42"}, "city": "Oslo", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:02:12", "end": "2024-05-01T10:02:42"}, "city": "Bern", "n": 1, "prices": 1}
{"w": {"start": "2024-05-01T10:02:24", "end": "2024-05-01T10:02:54"}, "city": "Bern", "n": 1, "prices": 1}
--# end
--# expect late 4
