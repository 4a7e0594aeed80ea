-- A condition on the window above a join holds for both sides.
--# input visits
{"city": "Bern", "time": "2024-05-01T10:00:00Z"}
{"city": "Riga", "time": "2024-05-01T10:00:00Z"}
{"city": "Rome", "time": "2024-05-01T10:00:00Z"}
{"city": "Kyiv", "time": "2024-05-01T10:00:01Z"}
{"city": "Bern", "time": "2024-05-01T10:00:05Z"}
{"city": "Bern", "time": "2024-05-01T10:00:10Z"}
{"city": "Kyiv", "time": "2024-05-01T10:00:10Z"}
{"city": "Lima", "time": "2024-05-01T10:00:10Z"}
{"city": "Oslo", "time": "2024-05-01T10:00:10Z"}
{"city": "Riga", "time": "2024-05-01T10:00:10Z"}
{"city": "Rome", "time": "2024-05-01T10:00:10Z"}
{"city": "Oslo", "time": "2024-05-01T10:01:40Z"}
{"city": "Rome", "time": "2024-05-01T10:01:40Z"}
{"city": "Kyiv", "time": "2024-05-01T10:01:41Z"}
{"city": "Bern", "time": "2024-05-01T10:01:45Z"}
{"city": "Bern", "time": "2024-05-01T10:01:50Z"}
{"city": "Rome", "time": "2024-05-01T10:01:50Z"}
{"city": "Kyiv", "time": "2024-05-01T10:01:55Z"}
{"city": "Oslo", "time": "2024-05-01T10:01:55Z"}
{"city": "Bern", "time": "2024-05-01T10:03:20Z"}
{"city": "Lima", "time": "2024-05-01T10:03:20Z"}
{"city": "Oslo", "time": "2024-05-01T10:03:20Z"}
{"city": "Riga", "time": "2024-05-01T10:03:20Z"}
{"city": "Rome", "time": "2024-05-01T10:03:20Z"}
{"city": "Lima", "time": "2024-05-01T10:03:25Z"}
{"city": "Lima", "time": "2024-05-01T10:03:30Z"}
{"city": "Lima", "time": "2024-05-01T10:03:35Z"}
{"city": "Oslo", "time": "2024-05-01T10:03:35Z"}
--# end
CREATE TABLE visits (city TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '5 seconds')
WITH (connector = 'single_file', path = 'visits.jsonl', type = 'source', format = 'json');
CREATE VIEW a AS SELECT tumble(INTERVAL '1 minute') AS w, city, count(*) AS n FROM visits GROUP BY w, city;
SELECT x.w.start AS start, y.city AS city, x.n AS n
FROM a AS x JOIN a AS y ON x.w = y.w AND x.city = y.city WHERE y.w.start >= TIMESTAMP '2024-05-01T10:01:00';
--# expect final
{"start": "2024-05-01T10:01:00", "city": "Bern", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Kyiv", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Oslo", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Rome", "n": 2}
{"start": "2024-05-01T10:03:00", "city": "Bern", "n": 1}
{"start": "2024-05-01T10:03:00", "city": "Lima", "n": 4}
{"start": "2024-05-01T10:03:00", "city": "Oslo", "n": 2}
{"start": "2024-05-01T10:03:00", "city": "Riga", "n": 1}
{"start": "2024-05-01T10:03:00", "city": "Rome", "n": 1}
--# end
--# expect late 0
