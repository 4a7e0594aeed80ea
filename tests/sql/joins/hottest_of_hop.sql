-- The most visited cities of the last minute, every twenty seconds.
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
WITH counts AS (
    SELECT hop(INTERVAL '20 seconds', INTERVAL '1 minute') AS window, city, count(*) AS n FROM visits GROUP BY window, city
), most AS (
    SELECT window, max(n) AS n FROM counts GROUP BY window
)
SELECT counts.window.start AS start, counts.city AS city, counts.n AS n
FROM counts JOIN most ON counts.window = most.window AND counts.n >= most.n;
--# expect final
{"start": "2024-05-01T09:59:20", "city": "Bern", "n": 3}
{"start": "2024-05-01T09:59:40", "city": "Bern", "n": 3}
{"start": "2024-05-01T10:00:00", "city": "Bern", "n": 3}
{"start": "2024-05-01T10:01:00", "city": "Bern", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Kyiv", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Oslo", "n": 2}
{"start": "2024-05-01T10:01:00", "city": "Rome", "n": 2}
{"start": "2024-05-01T10:01:20", "city": "Bern", "n": 2}
{"start": "2024-05-01T10:01:20", "city": "Kyiv", "n": 2}
{"start": "2024-05-01T10:01:20", "city": "Oslo", "n": 2}
{"start": "2024-05-01T10:01:20", "city": "Rome", "n": 2}
{"start": "2024-05-01T10:01:40", "city": "Bern", "n": 2}
{"start": "2024-05-01T10:01:40", "city": "Kyiv", "n": 2}
{"start": "2024-05-01T10:01:40", "city": "Oslo", "n": 2}
{"start": "2024-05-01T10:01:40", "city": "Rome", "n": 2}
{"start": "2024-05-01T10:02:40", "city": "Lima", "n": 4}
{"start": "2024-05-01T10:03:00", "city": "Lima", "n": 4}
{"start": "2024-05-01T10:03:20", "city": "Lima", "n": 4}
--# end
--# expect late 0
