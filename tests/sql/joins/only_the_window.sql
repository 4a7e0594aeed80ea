-- Without a key but the window: every pair within it that meets the condition.
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
SELECT a.window.start AS start, a.city AS a_city, b.city AS b_city, a.total - b.total AS difference
FROM a JOIN b ON a.window = b.window AND a.total < b.total;
--# expect final
{"start": "2024-05-01T10:00:00", "a_city": "Kyiv", "b_city": "Bern", "difference": -10}
{"start": "2024-05-01T10:00:00", "a_city": "Kyiv", "b_city": "Kyiv", "difference": -12}
{"start": "2024-05-01T10:00:00", "a_city": "Kyiv", "b_city": null, "difference": -28}
{"start": "2024-05-01T10:00:00", "a_city": "Lima", "b_city": "Bern", "difference": -16}
{"start": "2024-05-01T10:00:00", "a_city": "Lima", "b_city": "Kyiv", "difference": -18}
{"start": "2024-05-01T10:00:00", "a_city": "Lima", "b_city": null, "difference": -34}
{"start": "2024-05-01T10:00:00", "a_city": "Oslo", "b_city": null, "difference": -13}
{"start": "2024-05-01T10:03:00", "a_city": "Bern", "b_city": "Bern", "difference": -21}
{"start": "2024-05-01T10:03:00", "a_city": "Bern", "b_city": "Lima", "difference": -15}
{"start": "2024-05-01T10:03:00", "a_city": "Bern", "b_city": "Riga", "difference": -10}
{"start": "2024-05-01T10:03:00", "a_city": "Bern", "b_city": "Rome", "difference": -14}
{"start": "2024-05-01T10:03:00", "a_city": "Rome", "b_city": "Bern", "difference": -10}
{"start": "2024-05-01T10:03:00", "a_city": "Rome", "b_city": "Lima", "difference": -4}
{"start": "2024-05-01T10:03:00", "a_city": "Rome", "b_city": "Rome", "difference": -3}
{"start": "2024-05-01T10:03:00", "a_city": null, "b_city": "Bern", "difference": -1}
{"start": "2024-05-01T10:04:00", "a_city": "Oslo", "b_city": "Lima", "difference": -3}
{"start": "2024-05-01T10:04:00", "a_city": "Riga", "b_city": "Lima", "difference": -15}
{"start": "2024-05-01T10:04:00", "a_city": "Riga", "b_city": "Riga", "difference": -7}
{"start": "2024-05-01T10:04:00", "a_city": "Riga", "b_city": null, "difference": -9}
{"start": "2024-05-01T10:04:00", "a_city": "Rome", "b_city": "Kyiv", "difference": -1}
{"start": "2024-05-01T10:04:00", "a_city": "Rome", "b_city": "Lima", "difference": -17}
{"start": "2024-05-01T10:04:00", "a_city": "Rome", "b_city": "Riga", "difference": -9}
{"start": "2024-05-01T10:04:00", "a_city": "Rome", "b_city": null, "difference": -11}
--# end
--# expect late 0
