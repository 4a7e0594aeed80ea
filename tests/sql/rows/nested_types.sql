-- Structs, lists, decimals, times with and without zone, and epoch milliseconds.
--# input t
{"s": {"a": 1, "b": {"c": "x"}}, "l": [1, 2, 3], "d": 12.345, "t": "2024-05-01T12:00:00+02:00"}
{"s": {"a": 2, "b": null}, "l": null, "d": 1, "t": "2024-05-01 10:00:00.5"}
{"s": null, "l": [], "d": "7.10", "t": 1714557600123}
--# end
CREATE TABLE t (s STRUCT<a BIGINT, b STRUCT<c TEXT>>, l BIGINT[], d DECIMAL(10, 2), t TIMESTAMP)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT s.a AS a, s.b.c AS c, l[1] AS first, cardinality(l) AS n, d, t FROM t;
--# expect final
{"a": 1, "c": "x", "first": 1, "n": 3, "d": 12.35, "t": "2024-05-01T10:00:00"}
{"a": 2, "c": null, "first": null, "n": null, "d": 1.00, "t": "2024-05-01T10:00:00.500"}
{"a": null, "c": null, "first": null, "n": 0, "d": 7.10, "t": "2024-05-01T10:00:00.123"}
--# end
