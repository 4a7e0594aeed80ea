CREATE TABLE t (a INT) WITH (connector = 'singel_file', path = 'x', format = 'json');
SELECT a FROM t;
--# error unknown-connector
