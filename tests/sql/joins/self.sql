-- A view joined with itself: cities against each other within a minute.
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
CREATE TABLE orders (city TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '10 seconds')
WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');
CREATE VIEW a AS SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n, sum(v) AS total FROM orders GROUP BY window, city;
SELECT x.window.start AS start, x.city AS more, y.city AS less FROM a AS x JOIN a AS y ON x.window = y.window AND x.n = y.n + 1;
--# expect final
{"start": "2024-05-01T10:00:00", "more": "Kyiv", "less": "Lima"}
{"start": "2024-05-01T10:00:00", "more": "Oslo", "less": "Kyiv"}
{"start": "2024-05-01T10:01:00", "more": "Kyiv", "less": "Lima"}
{"start": "2024-05-01T10:01:00", "more": "Kyiv", "less": null}
{"start": "2024-05-01T10:01:00", "more": "Lima", "less": "Bern"}
{"start": "2024-05-01T10:01:00", "more": "Lima", "less": "Oslo"}
{"start": "2024-05-01T10:01:00", "more": "Lima", "less": "Riga"}
{"start": "2024-05-01T10:01:00", "more": "Rome", "less": "Lima"}
{"start": "2024-05-01T10:01:00", "more": "Rome", "less": null}
{"start": "2024-05-01T10:01:00", "more": null, "less": "Bern"}
{"start": "2024-05-01T10:01:00", "more": null, "less": "Oslo"}
{"start": "2024-05-01T10:01:00", "more": null, "less": "Riga"}
{"start": "2024-05-01T10:03:00", "more": null, "less": "Bern"}
{"start": "2024-05-01T10:03:00", "more": null, "less": "Lima"}
{"start": "2024-05-01T10:03:00", "more": null, "less": "Oslo"}
{"start": "2024-05-01T10:03:00", "more": null, "less": "Riga"}
{"start": "2024-05-01T10:03:00", "more": null, "less": "Rome"}
{"start": "2024-05-01T10:04:00", "more": "Bern", "less": "Lima"}
{"start": "2024-05-01T10:04:00", "more": "Lima", "less": "Riga"}
{"start": "2024-05-01T10:04:00", "more": "Lima", "less": "Rome"}
{"start": "2024-05-01T10:04:00", "more": "Oslo", "less": "Bern"}
--# end
--# expect late 0
