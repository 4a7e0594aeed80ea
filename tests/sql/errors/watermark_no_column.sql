CREATE TABLE t (a INT, WATERMARK FOR b) WITH (connector = 'single_file', path = 'x', format = 'json');
SELECT a FROM t;
--# error invalid-watermark
