CREATE TABLE t (id BIGINT) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE FUNCTION f(x BIGINT) RETURNS BIGINT RETURNS TEXT LANGUAGE python AS 'def f(x): return x';
SELECT f(id) FROM t;
--# error syntax
