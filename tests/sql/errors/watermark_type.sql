CREATE TABLE t (a INT, WATERMARK FOR a) WITH (connector = 'single_file', path = 'x', format = 'json');
SELECT a FROM t;
--# error invalid-watermark
