-- Windows of 30 seconds every 10. Rows come up to 45 seconds late: for some of their windows, or for all.
--# input orders
{"id": 1, "city": null, "price": 54, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Bern", "price": 7, "time": "2024-05-01T10:00:03Z"}
{"id": 3, "city": "Kyiv", "price": 30, "time": "2024-05-01T10:00:00Z"}
{"id": 4, "city": "Oslo", "price": 6, "time": "2024-05-01T10:00:00Z"}
{"id": 5, "city": "Rome", "price": 57, "time": "2024-05-01T10:00:00Z"}
{"id": 6, "city": "Kyiv", "price": 38, "time": "2024-05-01T10:00:00Z"}
{"id": 7, "city": "Kyiv", "price": 17, "time": "2024-05-01T10:00:22Z"}
{"id": 8, "city": null, "price": 6, "time": "2024-05-01T10:00:23Z"}
{"id": 9, "city": "Rome", "price": 1, "time": "2024-05-01T10:00:15Z"}
{"id": 10, "city": null, "price": null, "time": "2024-05-01T10:00:33Z"}
{"id": 11, "city": "Oslo", "price": 27, "time": "2024-05-01T10:00:12Z"}
{"id": 12, "city": null, "price": 14, "time": "2024-05-01T10:00:41Z"}
{"id": 13, "city": "Kyiv", "price": 35, "time": "2024-05-01T10:00:00Z"}
{"id": 14, "city": "Bern", "price": 14, "time": "2024-05-01T10:00:45Z"}
{"id": 15, "city": "Kyiv", "price": 18, "time": "2024-05-01T10:00:49Z"}
{"id": 16, "city": "Kyiv", "price": 53, "time": "2024-05-01T10:00:56Z"}
{"id": 17, "city": "Oslo", "price": 40, "time": "2024-05-01T10:01:00Z"}
{"id": 18, "city": "Rome", "price": 47, "time": "2024-05-01T10:00:55Z"}
{"id": 19, "city": null, "price": 59, "time": "2024-05-01T10:00:52Z"}
{"id": 20, "city": null, "price": 53, "time": "2024-05-01T10:00:46Z"}
{"id": 21, "city": "Bern", "price": 18, "time": "2024-05-01T10:01:12Z"}
{"id": 22, "city": null, "price": 25, "time": "2024-05-01T10:00:33Z"}
{"id": 23, "city": "Kyiv", "price": 15, "time": "2024-05-01T10:01:22Z"}
{"id": 24, "city": "Kyiv", "price": 42, "time": "2024-05-01T10:01:01Z"}
{"id": 25, "city": "Bern", "price": 35, "time": "2024-05-01T10:01:30Z"}
{"id": 26, "city": "Rome", "price": 28, "time": "2024-05-01T10:01:18Z"}
{"id": 27, "city": "Oslo", "price": 33, "time": "2024-05-01T10:01:37Z"}
{"id": 28, "city": "Bern", "price": 31, "time": "2024-05-01T10:01:16Z"}
{"id": 29, "city": "Kyiv", "price": 2, "time": "2024-05-01T10:01:45Z"}
{"id": 30, "city": null, "price": 37, "time": "2024-05-01T10:01:40Z"}
{"id": 31, "city": "Oslo", "price": 10, "time": "2024-05-01T10:01:27Z"}
{"id": 32, "city": "Rome", "price": 49, "time": "2024-05-01T10:01:53Z"}
{"id": 33, "city": null, "price": 58, "time": "2024-05-01T10:01:57Z"}
{"id": 34, "city": "Kyiv", "price": 32, "time": "2024-05-01T10:02:00Z"}
{"id": 35, "city": null, "price": 22, "time": "2024-05-01T10:01:52Z"}
{"id": 36, "city": "Bern", "price": 42, "time": "2024-05-01T10:01:26Z"}
{"id": 37, "city": "Kyiv", "price": 50, "time": "2024-05-01T10:02:15Z"}
{"id": 38, "city": null, "price": 49, "time": "2024-05-01T10:02:18Z"}
{"id": 39, "city": "Kyiv", "price": 3, "time": "2024-05-01T10:02:19Z"}
{"id": 40, "city": "Bern", "price": 36, "time": "2024-05-01T10:01:41Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT window.start AS "start", city, n, total
FROM (
    SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS window, city, count(*) AS n, sum(price) AS total
    FROM orders GROUP BY window, city
);

--# expect final
{"start": "2024-05-01T09:59:40", "city": null, "n": 1, "total": 54}
{"start": "2024-05-01T09:59:40", "city": "Bern", "n": 1, "total": 7}
{"start": "2024-05-01T09:59:40", "city": "Kyiv", "n": 2, "total": 68}
{"start": "2024-05-01T09:59:40", "city": "Oslo", "n": 1, "total": 6}
{"start": "2024-05-01T09:59:40", "city": "Rome", "n": 1, "total": 57}
{"start": "2024-05-01T09:59:50", "city": null, "n": 1, "total": 54}
{"start": "2024-05-01T09:59:50", "city": "Bern", "n": 1, "total": 7}
{"start": "2024-05-01T09:59:50", "city": "Kyiv", "n": 2, "total": 68}
{"start": "2024-05-01T09:59:50", "city": "Oslo", "n": 1, "total": 6}
{"start": "2024-05-01T09:59:50", "city": "Rome", "n": 2, "total": 58}
{"start": "2024-05-01T10:00:00", "city": null, "n": 2, "total": 60}
{"start": "2024-05-01T10:00:00", "city": "Bern", "n": 1, "total": 7}
{"start": "2024-05-01T10:00:00", "city": "Kyiv", "n": 3, "total": 85}
{"start": "2024-05-01T10:00:00", "city": "Oslo", "n": 2, "total": 33}
{"start": "2024-05-01T10:00:00", "city": "Rome", "n": 2, "total": 58}
{"start": "2024-05-01T10:00:10", "city": "Kyiv", "n": 1, "total": 17}
{"start": "2024-05-01T10:00:10", "city": null, "n": 2, "total": 6}
{"start": "2024-05-01T10:00:10", "city": "Rome", "n": 1, "total": 1}
{"start": "2024-05-01T10:00:10", "city": "Oslo", "n": 1, "total": 27}
{"start": "2024-05-01T10:00:20", "city": "Kyiv", "n": 2, "total": 35}
{"start": "2024-05-01T10:00:20", "city": null, "n": 3, "total": 20}
{"start": "2024-05-01T10:00:20", "city": "Bern", "n": 1, "total": 14}
{"start": "2024-05-01T10:00:30", "city": null, "n": 4, "total": 126}
{"start": "2024-05-01T10:00:30", "city": "Bern", "n": 1, "total": 14}
{"start": "2024-05-01T10:00:30", "city": "Kyiv", "n": 2, "total": 71}
{"start": "2024-05-01T10:00:30", "city": "Rome", "n": 1, "total": 47}
{"start": "2024-05-01T10:00:40", "city": null, "n": 3, "total": 126}
{"start": "2024-05-01T10:00:40", "city": "Bern", "n": 1, "total": 14}
{"start": "2024-05-01T10:00:40", "city": "Kyiv", "n": 2, "total": 71}
{"start": "2024-05-01T10:00:40", "city": "Oslo", "n": 1, "total": 40}
{"start": "2024-05-01T10:00:40", "city": "Rome", "n": 1, "total": 47}
{"start": "2024-05-01T10:00:50", "city": "Kyiv", "n": 2, "total": 95}
{"start": "2024-05-01T10:00:50", "city": "Oslo", "n": 1, "total": 40}
{"start": "2024-05-01T10:00:50", "city": "Rome", "n": 1, "total": 47}
{"start": "2024-05-01T10:00:50", "city": null, "n": 1, "total": 59}
{"start": "2024-05-01T10:00:50", "city": "Bern", "n": 1, "total": 18}
{"start": "2024-05-01T10:01:00", "city": "Oslo", "n": 1, "total": 40}
{"start": "2024-05-01T10:01:00", "city": "Bern", "n": 1, "total": 18}
{"start": "2024-05-01T10:01:00", "city": "Kyiv", "n": 2, "total": 57}
{"start": "2024-05-01T10:01:00", "city": "Rome", "n": 1, "total": 28}
{"start": "2024-05-01T10:01:10", "city": "Bern", "n": 3, "total": 84}
{"start": "2024-05-01T10:01:10", "city": "Kyiv", "n": 1, "total": 15}
{"start": "2024-05-01T10:01:10", "city": "Rome", "n": 1, "total": 28}
{"start": "2024-05-01T10:01:10", "city": "Oslo", "n": 1, "total": 33}
{"start": "2024-05-01T10:01:20", "city": "Kyiv", "n": 2, "total": 17}
{"start": "2024-05-01T10:01:20", "city": "Bern", "n": 1, "total": 35}
{"start": "2024-05-01T10:01:20", "city": "Oslo", "n": 2, "total": 43}
{"start": "2024-05-01T10:01:20", "city": null, "n": 1, "total": 37}
{"start": "2024-05-01T10:01:30", "city": "Bern", "n": 1, "total": 35}
{"start": "2024-05-01T10:01:30", "city": "Oslo", "n": 1, "total": 33}
{"start": "2024-05-01T10:01:30", "city": "Kyiv", "n": 1, "total": 2}
{"start": "2024-05-01T10:01:30", "city": null, "n": 3, "total": 117}
{"start": "2024-05-01T10:01:30", "city": "Rome", "n": 1, "total": 49}
{"start": "2024-05-01T10:01:40", "city": "Kyiv", "n": 2, "total": 34}
{"start": "2024-05-01T10:01:40", "city": null, "n": 3, "total": 117}
{"start": "2024-05-01T10:01:40", "city": "Rome", "n": 1, "total": 49}
{"start": "2024-05-01T10:01:50", "city": "Rome", "n": 1, "total": 49}
{"start": "2024-05-01T10:01:50", "city": null, "n": 3, "total": 129}
{"start": "2024-05-01T10:01:50", "city": "Kyiv", "n": 3, "total": 85}
{"start": "2024-05-01T10:02:00", "city": "Kyiv", "n": 3, "total": 85}
{"start": "2024-05-01T10:02:00", "city": null, "n": 1, "total": 49}
{"start": "2024-05-01T10:02:10", "city": "Kyiv", "n": 2, "total": 53}
{"start": "2024-05-01T10:02:10", "city": null, "n": 1, "total": 49}
--# end
--# expect late 4
