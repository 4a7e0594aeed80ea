-- Names that other dialects want quoted.
--# input t
{"timestamp": "2024-05-01T10:00:00Z", "start": 1, "end": 2, "count": 3, "rows": 4, "top": 5}
--# end
CREATE TABLE t (timestamp TIMESTAMP, start BIGINT, end BIGINT, count BIGINT, rows BIGINT, top BIGINT)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT timestamp, start, end, count, rows, top, start + end AS sum FROM t WHERE count > 2 AND end < rows
--# expect final
{"timestamp": "2024-05-01T10:00:00", "start": 1, "end": 2, "count": 3, "rows": 4, "top": 5, "sum": 3}
--# end
