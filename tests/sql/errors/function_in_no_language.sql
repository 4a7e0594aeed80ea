CREATE TABLE t (id BIGINT) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE lua AS 'return x';
SELECT f(id) FROM t;
--# error unknown-language
