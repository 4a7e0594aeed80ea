CREATE TABLE t (id BIGINT) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE FUNCTION f(x BIGINT, x BIGINT) RETURNS BIGINT LANGUAGE python AS 'def f(x, y): return x';
SELECT f(id, id) FROM t;
--# error duplicate-name
