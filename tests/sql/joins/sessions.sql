-- Sessions are the same where both ends are: those that end together but began apart do not meet.
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
CREATE VIEW s AS SELECT session(INTERVAL '30 seconds') AS window, city, count(*) AS n FROM visits GROUP BY window, city;
SELECT a.window.start AS start, a.window.end AS "end", a.city AS one, b.city AS other, a.n + b.n AS n
FROM s AS a JOIN s AS b ON a.window = b.window AND a.city < b.city;
--# expect final
{"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:40", "one": "Bern", "other": "Riga", "n": 5}
{"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:40", "one": "Bern", "other": "Rome", "n": 5}
{"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:00:40", "one": "Riga", "other": "Rome", "n": 4}
{"start": "2024-05-01T10:00:10", "end": "2024-05-01T10:00:40", "one": "Lima", "other": "Oslo", "n": 2}
{"start": "2024-05-01T10:03:20", "end": "2024-05-01T10:03:50", "one": "Bern", "other": "Riga", "n": 2}
{"start": "2024-05-01T10:03:20", "end": "2024-05-01T10:03:50", "one": "Bern", "other": "Rome", "n": 2}
{"start": "2024-05-01T10:03:20", "end": "2024-05-01T10:03:50", "one": "Riga", "other": "Rome", "n": 2}
{"start": "2024-05-01T10:03:20", "end": "2024-05-01T10:04:05", "one": "Lima", "other": "Oslo", "n": 6}
--# end
--# expect late 0
