-- A row is late when its window's end is at or before the watermark just before it: not a nanosecond sooner.
--# input t
{"id": 1, "k": "a", "time": "2024-05-01T10:00:59Z"}
{"id": 2, "k": "b", "time": "2024-05-01T10:00:59.999999999Z"}
{"id": 3, "k": "c", "time": "2024-05-01T10:00:00Z"}
{"id": 4, "k": "d", "time": "2024-05-01T10:01:00Z"}
{"id": 5, "k": "e", "time": "2024-05-01T10:00:30Z"}
{"id": 6, "k": "f", "time": "2024-05-01T10:01:30Z"}
--# end
CREATE TABLE t (id BIGINT, k TEXT, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT k, count(*) AS n FROM t GROUP BY k, tumble(INTERVAL '1 minute');
--# expect final
{"k": "a", "n": 1}
{"k": "b", "n": 1}
{"k": "c", "n": 1}
{"k": "d", "n": 1}
{"k": "f", "n": 1}
--# end
--# expect late 1
