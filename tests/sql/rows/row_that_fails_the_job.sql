--# input t
{"a": 1, "b": 0}
--# end
CREATE TABLE t (a BIGINT, b BIGINT)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT a / b AS q FROM t;
--# error row-failed
