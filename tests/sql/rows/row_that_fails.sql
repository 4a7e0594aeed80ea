-- A row that cannot be computed fails the job, unless the policy drops it.
--# set bad-data=drop
--# input t
{"a": 1, "b": 1}
{"a": 2, "b": 0}
{"a": 6, "b": 3}
{"a": 9223372036854775807, "b": 1}
--# end
CREATE TABLE t (a BIGINT, b BIGINT)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT a / b AS q, CAST(CAST(a AS TEXT) AS INT) AS i FROM t;
--# expect final
{"q": 1, "i": 1}
{"q": 2, "i": 6}
--# end
--# expect refused 2
