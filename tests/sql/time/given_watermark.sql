-- A watermark that the source gives counts like one that the rows make.
--# input t
{"k": "a", "time": "2024-05-01T10:00:10Z"}
{"k": "b", "time": "2024-05-01T10:00:12Z"}
watermark 2024-05-01T10:01:00Z
{"k": "c", "time": "2024-05-01T10:00:50Z"}
{"k": "d", "time": "2024-05-01T10:01:10Z"}
--# end
CREATE TABLE t (k TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '1 hour')
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT k, count(*) AS n FROM t GROUP BY k, tumble(INTERVAL '1 minute');
--# expect final
{"k": "a", "n": 1}
{"k": "b", "n": 1}
{"k": "d", "n": 1}
--# end
--# expect late 1
