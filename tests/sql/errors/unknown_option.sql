CREATE TABLE t (a INT) WITH (connector = 'single_file', pth = 'x', path = 'x', format = 'json');
SELECT a FROM t;
--# error unknown-option
