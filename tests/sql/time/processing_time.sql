-- A table that declares no time: rows get the time of reading, and pass.
--# input t
{"k": "a", "n": 0}
{"k": "b", "n": 1}
{"k": "c", "n": 2}
{"k": "a", "n": 3}
{"k": "b", "n": 4}
{"k": "c", "n": 5}
{"k": "a", "n": 6}
{"k": "b", "n": 7}
--# end
CREATE TABLE t (k TEXT, n BIGINT)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT k, n * 2 AS twice FROM t WHERE n > 2;
--# expect final
{"k": "a", "twice": 6}
{"k": "b", "twice": 8}
{"k": "c", "twice": 10}
{"k": "a", "twice": 12}
{"k": "b", "twice": 14}
--# end
--# expect late 0
