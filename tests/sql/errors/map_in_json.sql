CREATE TABLE t (id BIGINT, counts MAP(TEXT, BIGINT)) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT id, counts['a'] FROM t;
--# error invalid-type
