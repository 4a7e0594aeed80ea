-- Rows that carry their window beside a result of the same window; a row's own time is a column of it.
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
SELECT r.city AS city, r.time AS at, m.n AS of
FROM (SELECT *, tumble(INTERVAL '1 minute') AS w FROM visits) AS r
JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM visits GROUP BY w) AS m ON r.w = m.w;
--# expect final
{"city": "Bern", "at": "2024-05-01T10:00:00", "of": 11}
{"city": "Bern", "at": "2024-05-01T10:00:05", "of": 11}
{"city": "Bern", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Bern", "at": "2024-05-01T10:01:45", "of": 8}
{"city": "Bern", "at": "2024-05-01T10:01:50", "of": 8}
{"city": "Bern", "at": "2024-05-01T10:03:20", "of": 9}
{"city": "Kyiv", "at": "2024-05-01T10:00:01", "of": 11}
{"city": "Kyiv", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Kyiv", "at": "2024-05-01T10:01:41", "of": 8}
{"city": "Kyiv", "at": "2024-05-01T10:01:55", "of": 8}
{"city": "Lima", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Lima", "at": "2024-05-01T10:03:20", "of": 9}
{"city": "Lima", "at": "2024-05-01T10:03:25", "of": 9}
{"city": "Lima", "at": "2024-05-01T10:03:30", "of": 9}
{"city": "Lima", "at": "2024-05-01T10:03:35", "of": 9}
{"city": "Oslo", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Oslo", "at": "2024-05-01T10:01:40", "of": 8}
{"city": "Oslo", "at": "2024-05-01T10:01:55", "of": 8}
{"city": "Oslo", "at": "2024-05-01T10:03:20", "of": 9}
{"city": "Oslo", "at": "2024-05-01T10:03:35", "of": 9}
{"city": "Riga", "at": "2024-05-01T10:00:00", "of": 11}
{"city": "Riga", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Riga", "at": "2024-05-01T10:03:20", "of": 9}
{"city": "Rome", "at": "2024-05-01T10:00:00", "of": 11}
{"city": "Rome", "at": "2024-05-01T10:00:10", "of": 11}
{"city": "Rome", "at": "2024-05-01T10:01:40", "of": 8}
{"city": "Rome", "at": "2024-05-01T10:01:50", "of": 8}
{"city": "Rome", "at": "2024-05-01T10:03:20", "of": 9}
--# end
--# expect late 0
