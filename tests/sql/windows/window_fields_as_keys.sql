-- Grouping by a field of a window is grouping by the window.
--# input orders
{"id": 1, "city": "Oslo", "price": 47, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Bern", "price": 53, "time": "2024-05-01T10:00:00Z"}
{"id": 3, "city": "Rome", "price": 53, "time": "2024-05-01T10:00:00Z"}
{"id": 4, "city": "Rome", "price": 41, "time": "2024-05-01T10:00:01Z"}
{"id": 5, "city": "Rome", "price": 7, "time": "2024-05-01T10:00:04Z"}
{"id": 6, "city": "Oslo", "price": 55, "time": "2024-05-01T10:00:04Z"}
{"id": 7, "city": "Oslo", "price": 34, "time": "2024-05-01T10:00:06Z"}
{"id": 8, "city": "Bern", "price": 15, "time": "2024-05-01T10:00:07Z"}
{"id": 9, "city": "Bern", "price": 13, "time": "2024-05-01T10:00:08Z"}
{"id": 10, "city": "Oslo", "price": 11, "time": "2024-05-01T10:00:07Z"}
{"id": 11, "city": "Rome", "price": 48, "time": "2024-05-01T10:00:08Z"}
{"id": 12, "city": "Rome", "price": 39, "time": "2024-05-01T10:00:11Z"}
{"id": 13, "city": "Oslo", "price": 8, "time": "2024-05-01T10:00:08Z"}
{"id": 14, "city": "Rome", "price": 55, "time": "2024-05-01T10:00:13Z"}
{"id": 15, "city": "Rome", "price": 49, "time": "2024-05-01T10:00:14Z"}
{"id": 16, "city": "Rome", "price": 55, "time": "2024-05-01T10:00:15Z"}
{"id": 17, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:16Z"}
{"id": 18, "city": "Bern", "price": 56, "time": "2024-05-01T10:00:17Z"}
{"id": 19, "city": "Rome", "price": 44, "time": "2024-05-01T10:00:18Z"}
{"id": 20, "city": "Oslo", "price": 19, "time": "2024-05-01T10:00:19Z"}
{"id": 21, "city": "Oslo", "price": 26, "time": "2024-05-01T10:00:20Z"}
{"id": 22, "city": "Rome", "price": 16, "time": "2024-05-01T10:00:21Z"}
{"id": 23, "city": "Oslo", "price": 19, "time": "2024-05-01T10:00:22Z"}
{"id": 24, "city": "Bern", "price": null, "time": "2024-05-01T10:00:19Z"}
{"id": 25, "city": "Bern", "price": 45, "time": "2024-05-01T10:00:20Z"}
{"id": 26, "city": "Rome", "price": 19, "time": "2024-05-01T10:00:24Z"}
{"id": 27, "city": "Oslo", "price": 30, "time": "2024-05-01T10:00:25Z"}
{"id": 28, "city": "Rome", "price": 30, "time": "2024-05-01T10:00:26Z"}
{"id": 29, "city": "Bern", "price": 11, "time": "2024-05-01T10:00:26Z"}
{"id": 30, "city": "Oslo", "price": 1, "time": "2024-05-01T10:00:29Z"}
{"id": 31, "city": "Oslo", "price": 1, "time": "2024-05-01T10:00:29Z"}
{"id": 32, "city": "Oslo", "price": 23, "time": "2024-05-01T10:00:27Z"}
{"id": 33, "city": "Bern", "price": 53, "time": "2024-05-01T10:00:30Z"}
{"id": 34, "city": "Oslo", "price": 2, "time": "2024-05-01T10:00:33Z"}
{"id": 35, "city": "Bern", "price": 12, "time": "2024-05-01T10:00:34Z"}
{"id": 36, "city": "Rome", "price": 59, "time": "2024-05-01T10:00:35Z"}
{"id": 37, "city": "Oslo", "price": 32, "time": "2024-05-01T10:00:34Z"}
{"id": 38, "city": "Bern", "price": 16, "time": "2024-05-01T10:00:36Z"}
{"id": 39, "city": "Rome", "price": 37, "time": "2024-05-01T10:00:36Z"}
{"id": 40, "city": "Oslo", "price": 2, "time": "2024-05-01T10:00:38Z"}
{"id": 41, "city": "Rome", "price": 13, "time": "2024-05-01T10:00:38Z"}
{"id": 42, "city": "Bern", "price": 39, "time": "2024-05-01T10:00:40Z"}
{"id": 43, "city": "Rome", "price": 21, "time": "2024-05-01T10:00:41Z"}
{"id": 44, "city": "Bern", "price": 34, "time": "2024-05-01T10:00:42Z"}
{"id": 45, "city": "Oslo", "price": 43, "time": "2024-05-01T10:00:44Z"}
{"id": 46, "city": "Oslo", "price": 11, "time": "2024-05-01T10:00:44Z"}
{"id": 47, "city": "Bern", "price": 9, "time": "2024-05-01T10:00:46Z"}
{"id": 48, "city": "Oslo", "price": 10, "time": "2024-05-01T10:00:46Z"}
{"id": 49, "city": "Rome", "price": 38, "time": "2024-05-01T10:00:48Z"}
{"id": 50, "city": "Oslo", "price": 2, "time": "2024-05-01T10:00:45Z"}
{"id": 51, "city": "Bern", "price": 38, "time": "2024-05-01T10:00:50Z"}
{"id": 52, "city": "Oslo", "price": 29, "time": "2024-05-01T10:00:50Z"}
{"id": 53, "city": "Rome", "price": 3, "time": "2024-05-01T10:00:50Z"}
{"id": 54, "city": "Oslo", "price": 21, "time": "2024-05-01T10:00:53Z"}
{"id": 55, "city": "Rome", "price": 46, "time": "2024-05-01T10:00:54Z"}
{"id": 56, "city": "Rome", "price": 40, "time": "2024-05-01T10:00:51Z"}
{"id": 57, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:54Z"}
{"id": 58, "city": "Oslo", "price": 9, "time": "2024-05-01T10:00:55Z"}
{"id": 59, "city": "Oslo", "price": 18, "time": "2024-05-01T10:00:58Z"}
{"id": 60, "city": "Oslo", "price": 59, "time": "2024-05-01T10:00:59Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT window.start AS "start", max(num) AS most, count(*) AS cities
FROM (
    SELECT city, count(*) AS num, hop(interval '2 seconds', interval '10 seconds') AS window
    FROM orders GROUP BY city, window
)
GROUP BY window.start;

--# expect final
{"start": "2024-05-01T09:59:52", "most": 2, "cities": 3}
{"start": "2024-05-01T09:59:54", "most": 2, "cities": 3}
{"start": "2024-05-01T09:59:56", "most": 3, "cities": 3}
{"start": "2024-05-01T09:59:58", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:00", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:02", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:04", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:06", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:08", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:10", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:12", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:14", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:16", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:18", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:20", "most": 6, "cities": 3}
{"start": "2024-05-01T10:00:22", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:24", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:26", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:28", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:30", "most": 3, "cities": 3}
{"start": "2024-05-01T10:00:32", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:34", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:36", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:38", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:40", "most": 4, "cities": 3}
{"start": "2024-05-01T10:00:42", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:44", "most": 6, "cities": 3}
{"start": "2024-05-01T10:00:46", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:48", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:50", "most": 5, "cities": 3}
{"start": "2024-05-01T10:00:52", "most": 4, "cities": 2}
{"start": "2024-05-01T10:00:54", "most": 3, "cities": 2}
{"start": "2024-05-01T10:00:56", "most": 2, "cities": 1}
{"start": "2024-05-01T10:00:58", "most": 2, "cities": 1}
--# end
--# expect late 0
