CREATE TABLE t (id BIGINT) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$
def f(x):
    return x
$$;
SELECT f(id) FROM t;
--# error unknown-language
