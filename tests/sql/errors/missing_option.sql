CREATE TABLE t (a INT) WITH (connector = 'single_file', format = 'json');
SELECT a FROM t;
--# error invalid-option
