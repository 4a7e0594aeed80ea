-- Two tables, each with its own watermark: 4 rows of the first are late and 4 of the second,
-- each by the watermark of its own table, however the two are interleaved.
--# input a
{"k": "y", "time": "2024-05-01T10:00:00Z"}
{"k": "x", "time": "2024-05-01T10:00:30Z"}
{"k": "y", "time": "2024-05-01T10:01:15Z"}
{"k": "z", "time": "2024-05-01T10:00:55Z"}
{"k": "x", "time": "2024-05-01T10:01:20Z"}
{"k": "x", "time": "2024-05-01T10:00:20Z"}
{"k": "z", "time": "2024-05-01T10:02:20Z"}
{"k": "x", "time": "2024-05-01T10:02:05Z"}
{"k": "y", "time": "2024-05-01T10:01:01Z"}
{"k": "z", "time": "2024-05-01T10:01:30Z"}
--# end
--# input b
{"k": "x", "time": "2024-05-01T10:00:05Z"}
{"k": "z", "time": "2024-05-01T10:00:59Z"}
{"k": "x", "time": "2024-05-01T10:01:00Z"}
{"k": "x", "time": "2024-05-01T10:00:58Z"}
{"k": "x", "time": "2024-05-01T10:01:01Z"}
{"k": "y", "time": "2024-05-01T10:01:59Z"}
{"k": "y", "time": "2024-05-01T10:02:01Z"}
{"k": "x", "time": "2024-05-01T10:01:40Z"}
{"k": "x", "time": "2024-05-01T10:01:59Z"}
{"k": "x", "time": "2024-05-01T10:03:00Z"}
{"k": "z", "time": "2024-05-01T10:02:59Z"}
--# end
CREATE TABLE a (k TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '10 seconds')
WITH (connector = 'single_file', path = 'a.jsonl', type = 'source', format = 'json');
CREATE TABLE b (k TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 'b.jsonl', type = 'source', format = 'json');
SELECT w.start AS start, k, n FROM (
    SELECT tumble(INTERVAL '1 minute') AS w, k, count(*) AS n
    FROM (SELECT k, time FROM a UNION ALL SELECT k, time FROM b) GROUP BY w, k
);
--# expect final
{"start": "2024-05-01T10:00:00", "k": "x", "n": 2}
{"start": "2024-05-01T10:00:00", "k": "y", "n": 1}
{"start": "2024-05-01T10:00:00", "k": "z", "n": 1}
{"start": "2024-05-01T10:01:00", "k": "x", "n": 3}
{"start": "2024-05-01T10:01:00", "k": "y", "n": 2}
{"start": "2024-05-01T10:02:00", "k": "x", "n": 1}
{"start": "2024-05-01T10:02:00", "k": "y", "n": 1}
{"start": "2024-05-01T10:02:00", "k": "z", "n": 1}
{"start": "2024-05-01T10:03:00", "k": "x", "n": 1}
--# end
--# expect late 8
