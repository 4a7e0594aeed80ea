CREATE TABLE t (a INT) WITH (connector = 'single_file', path = 'x', format = 'jsn');
SELECT a FROM t;
--# error invalid-option
