-- Of the first eleven rows one is a minute late and one 20 seconds: 0.9 of them are at most 20 seconds late.
-- So from the eleventh row on the watermark stays 20 seconds behind the newest, and rows 13 and 17 are late.
--# input t
{"k": "a", "time": "2024-05-01T10:00:10Z"}
{"k": "b", "time": "2024-05-01T10:00:20Z"}
{"k": "c", "time": "2024-05-01T10:00:30Z"}
{"k": "d", "time": "2024-05-01T10:01:10Z"}
{"k": "a", "time": "2024-05-01T10:00:10Z"}
{"k": "b", "time": "2024-05-01T10:01:15Z"}
{"k": "c", "time": "2024-05-01T10:01:20Z"}
{"k": "d", "time": "2024-05-01T10:01:00Z"}
{"k": "a", "time": "2024-05-01T10:01:25Z"}
{"k": "b", "time": "2024-05-01T10:01:30Z"}
{"k": "c", "time": "2024-05-01T10:01:35Z"}
{"k": "d", "time": "2024-05-01T10:01:45Z"}
{"k": "a", "time": "2024-05-01T10:01:15Z"}
{"k": "b", "time": "2024-05-01T10:01:21Z"}
{"k": "c", "time": "2024-05-01T10:01:24Z"}
{"k": "d", "time": "2024-05-01T10:02:30Z"}
{"k": "a", "time": "2024-05-01T10:01:59Z"}
{"k": "b", "time": "2024-05-01T10:02:12Z"}
--# end
CREATE TABLE t (k TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS completeness(time, 0.9))
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT k, n, w.start AS start FROM (
    SELECT k, count(*) AS n, tumble(INTERVAL '10 seconds') AS w FROM t GROUP BY k, w
);
--# expect final
{"k": "a", "n": 2, "start": "2024-05-01T10:00:10"}
{"k": "b", "n": 1, "start": "2024-05-01T10:00:20"}
{"k": "c", "n": 1, "start": "2024-05-01T10:00:30"}
{"k": "d", "n": 1, "start": "2024-05-01T10:01:00"}
{"k": "b", "n": 1, "start": "2024-05-01T10:01:10"}
{"k": "d", "n": 1, "start": "2024-05-01T10:01:10"}
{"k": "a", "n": 1, "start": "2024-05-01T10:01:20"}
{"k": "b", "n": 1, "start": "2024-05-01T10:01:20"}
{"k": "c", "n": 2, "start": "2024-05-01T10:01:20"}
{"k": "b", "n": 1, "start": "2024-05-01T10:01:30"}
{"k": "c", "n": 1, "start": "2024-05-01T10:01:30"}
{"k": "d", "n": 1, "start": "2024-05-01T10:01:40"}
{"k": "b", "n": 1, "start": "2024-05-01T10:02:10"}
{"k": "d", "n": 1, "start": "2024-05-01T10:02:30"}
--# end
--# expect late 2
