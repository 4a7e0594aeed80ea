-- A key that is named twice is one key, in a query and in what is joined.
--# input t
{"k": 1, "time": "2024-05-01T10:00:00Z"}
{"k": 2, "time": "2024-05-01T10:00:01Z"}
{"k": 1, "time": "2024-05-01T10:00:02Z"}
{"k": 3, "time": "2024-05-01T10:00:03Z"}
{"k": 4, "time": "2024-05-01T10:00:03Z"}
{"k": 5, "time": "2024-05-01T10:01:03Z"}
{"k": 6, "time": "2024-05-01T10:01:03Z"}
--# end
CREATE TABLE t (k BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE VIEW g AS SELECT tumble(INTERVAL '1 minute') AS w, k AS x, k AS y, count(*) AS n FROM t GROUP BY w, x, y;
SELECT l.x AS x, r.y AS y, l.n AS n FROM g AS l JOIN g AS r ON l.w = r.w AND l.x = r.y;
--# expect final
{"x": 1, "y": 1, "n": 2}
{"x": 2, "y": 2, "n": 1}
{"x": 3, "y": 3, "n": 1}
{"x": 4, "y": 4, "n": 1}
{"x": 5, "y": 5, "n": 1}
{"x": 6, "y": 6, "n": 1}
--# end
