CREATE TABLE t (a GEOMETRY) WITH (connector = 'single_file', path = 'x', format = 'json');
SELECT a FROM t;
--# error invalid-type
