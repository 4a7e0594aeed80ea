-- The window compared by its parts.
--# input orders
{"city": "Oslo", "v": 7, "time": "2024-05-01T10:00:00Z"}
{"city": "Rome", "v": -3, "time": "2024-05-01T10:00:10Z"}
{"city": "Rome", "v": 6, "time": "2024-05-01T10:00:13Z"}
{"city": "Rome", "v": 11, "time": "2024-05-01T10:00:19Z"}
{"city": "Rome", "v": -3, "time": "2024-05-01T10:00:18Z"}
{"city": "Lima", "v": -3, "time": "2024-05-01T10:00:26Z"}
{"city": "Rome", "v": 12, "time": "2024-05-01T10:00:28Z"}
{"city": "Rome", "v": 13, "time": "2024-05-01T10:00:36Z"}
{"city": "Oslo", "v": 15, "time": "2024-05-01T10:00:36Z"}
{"city": "Kyiv", "v": -4, "time": "2024-05-01T10:00:50Z"}
{"city": "Kyiv", "v": 7, "time": "2024-05-01T10:00:54Z"}
{"city": "Oslo", "v": -4, "time": "2024-05-01T10:00:50Z"}
{"city": null, "v": -1, "time": "2024-05-01T10:01:03Z"}
{"city": "Lima", "v": -1, "time": "2024-05-01T10:01:04Z"}
{"city": "Rome", "v": 13, "time": "2024-05-01T10:01:13Z"}
{"city": "Kyiv", "v": 16, "time": "2024-05-01T10:01:14Z"}
{"city": "Rome", "v": 13, "time": "2024-05-01T10:01:17Z"}
{"city": "Riga", "v": 1, "time": "2024-05-01T10:01:29Z"}
{"city": "Rome", "v": 12, "time": "2024-05-01T10:01:30Z"}
{"city": "Kyiv", "v": -4, "time": "2024-05-01T10:01:31Z"}
{"city": "Oslo", "v": 10, "time": "2024-05-01T10:01:44Z"}
{"city": "Kyiv", "v": 8, "time": "2024-05-01T10:01:50Z"}
{"city": "Lima", "v": 13, "time": "2024-05-01T10:01:50Z"}
{"city": "Bern", "v": 4, "time": "2024-05-01T10:01:57Z"}
{"city": null, "v": 0, "time": "2024-05-01T10:01:58Z"}
{"city": null, "v": 9, "time": "2024-05-01T10:03:04Z"}
{"city": null, "v": -3, "time": "2024-05-01T10:03:01Z"}
{"city": "Lima", "v": 17, "time": "2024-05-01T10:03:09Z"}
{"city": "Rome", "v": -4, "time": "2024-05-01T10:03:20Z"}
{"city": "Riga", "v": 13, "time": "2024-05-01T10:03:19Z"}
{"city": null, "v": 9, "time": "2024-05-01T10:03:30Z"}
{"city": "Riga", "v": 7, "time": "2024-05-01T10:03:29Z"}
{"city": "Bern", "v": -5, "time": "2024-05-01T10:03:40Z"}
{"city": "Bern", "v": 0, "time": "2024-05-01T10:03:42Z"}
{"city": "Rome", "v": 10, "time": "2024-05-01T10:03:49Z"}
{"city": "Oslo", "v": 19, "time": "2024-05-01T10:03:45Z"}
{"city": "Oslo", "v": 18, "time": "2024-05-01T10:03:54Z"}
{"city": "Lima", "v": 7, "time": "2024-05-01T10:03:58Z"}
{"city": "Rome", "v": 0, "time": "2024-05-01T10:04:07Z"}
{"city": "Lima", "v": 12, "time": "2024-05-01T10:04:12Z"}
{"city": "Oslo", "v": 8, "time": "2024-05-01T10:04:14Z"}
{"city": "Bern", "v": 17, "time": "2024-05-01T10:04:23Z"}
{"city": "Bern", "v": 16, "time": "2024-05-01T10:04:26Z"}
{"city": "Oslo", "v": -1, "time": "2024-05-01T10:04:31Z"}
{"city": "Oslo", "v": -1, "time": "2024-05-01T10:04:31Z"}
{"city": "Riga", "v": 2, "time": "2024-05-01T10:04:38Z"}
{"city": "Lima", "v": 13, "time": "2024-05-01T10:04:40Z"}
{"city": "Bern", "v": 4, "time": "2024-05-01T10:04:47Z"}
{"city": "Oslo", "v": 8, "time": "2024-05-01T10:04:50Z"}
--# end
--# input returns
{"city": "Bern", "v": 14, "time": "2024-05-01T10:00:03Z"}
{"city": "Bern", "v": -1, "time": "2024-05-01T10:00:14Z"}
{"city": "Kyiv", "v": 15, "time": "2024-05-01T10:00:24Z"}
{"city": "Riga", "v": -4, "time": "2024-05-01T10:00:36Z"}
{"city": null, "v": 19, "time": "2024-05-01T10:00:44Z"}
{"city": null, "v": 12, "time": "2024-05-01T10:00:57Z"}
{"city": "Rome", "v": 13, "time": "2024-05-01T10:02:02Z"}
{"city": "Kyiv", "v": -2, "time": "2024-05-01T10:02:13Z"}
{"city": "Kyiv", "v": -5, "time": "2024-05-01T10:02:27Z"}
{"city": null, "v": 1, "time": "2024-05-01T10:02:33Z"}
{"city": "Lima", "v": -1, "time": "2024-05-01T10:02:52Z"}
{"city": "Bern", "v": 6, "time": "2024-05-01T10:03:03Z"}
{"city": "Bern", "v": 10, "time": "2024-05-01T10:03:13Z"}
{"city": "Rome", "v": 10, "time": "2024-05-01T10:03:15Z"}
{"city": "Lima", "v": 10, "time": "2024-05-01T10:03:32Z"}
{"city": "Rome", "v": -1, "time": "2024-05-01T10:03:39Z"}
{"city": "Riga", "v": 5, "time": "2024-05-01T10:03:47Z"}
{"city": "Lima", "v": 17, "time": "2024-05-01T10:04:00Z"}
{"city": "Kyiv", "v": -5, "time": "2024-05-01T10:04:09Z"}
{"city": "Kyiv", "v": 6, "time": "2024-05-01T10:04:20Z"}
{"city": "Riga", "v": 12, "time": "2024-05-01T10:04:30Z"}
{"city": null, "v": 11, "time": "2024-05-01T10:04:38Z"}
{"city": "Riga", "v": -3, "time": "2024-05-01T10:04:53Z"}
{"city": "Kyiv", "v": 6, "time": "2024-05-01T10:05:03Z"}
{"city": "Bern", "v": 19, "time": "2024-05-01T10:05:12Z"}
{"city": "Kyiv", "v": 12, "time": "2024-05-01T10:05:23Z"}
{"city": "Bern", "v": 15, "time": "2024-05-01T10:05:39Z"}
{"city": "Kyiv", "v": 20, "time": "2024-05-01T10:05:44Z"}
{"city": null, "v": 2, "time": "2024-05-01T10:05:55Z"}
{"city": "Riga", "v": 20, "time": "2024-05-01T10:06:08Z"}
{"city": "Oslo", "v": 11, "time": "2024-05-01T10:06:16Z"}
{"city": "Bern", "v": 18, "time": "2024-05-01T10:06:30Z"}
{"city": "Rome", "v": 20, "time": "2024-05-01T10:06:34Z"}
{"city": "Lima", "v": 3, "time": "2024-05-01T10:06:48Z"}
--# end
CREATE TABLE orders (city TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '10 seconds')
WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');
CREATE TABLE returns (city TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '40 seconds')
WITH (connector = 'single_file', path = 'returns.jsonl', type = 'source', format = 'json');
CREATE VIEW a AS SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n, sum(v) AS total FROM orders GROUP BY window, city;
CREATE VIEW b AS SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n, sum(v) AS total FROM returns GROUP BY window, city;
SELECT a.window.start AS a_start, a.city AS a_city, a.total AS a_total, b.window.start AS b_start, b.city AS b_city, b.total AS b_total
FROM a JOIN b ON a.window.start = b.window.start AND a.window.end = b.window.end AND a.city = b.city;
--# expect final
{"a_start": "2024-05-01T10:00:00", "a_city": "Kyiv", "a_total": 3, "b_start": "2024-05-01T10:00:00", "b_city": "Kyiv", "b_total": 15}
{"a_start": "2024-05-01T10:03:00", "a_city": "Bern", "a_total": -5, "b_start": "2024-05-01T10:03:00", "b_city": "Bern", "b_total": 16}
{"a_start": "2024-05-01T10:03:00", "a_city": "Lima", "a_total": 24, "b_start": "2024-05-01T10:03:00", "b_city": "Lima", "b_total": 10}
{"a_start": "2024-05-01T10:03:00", "a_city": "Riga", "a_total": 20, "b_start": "2024-05-01T10:03:00", "b_city": "Riga", "b_total": 5}
{"a_start": "2024-05-01T10:03:00", "a_city": "Rome", "a_total": 6, "b_start": "2024-05-01T10:03:00", "b_city": "Rome", "b_total": 9}
{"a_start": "2024-05-01T10:04:00", "a_city": "Lima", "a_total": 25, "b_start": "2024-05-01T10:04:00", "b_city": "Lima", "b_total": 17}
{"a_start": "2024-05-01T10:04:00", "a_city": "Riga", "a_total": 2, "b_start": "2024-05-01T10:04:00", "b_city": "Riga", "b_total": 9}
--# end
--# expect late 0
