CREATE TABLE t (a INT, a TEXT) WITH (connector = 'blackhole');
SELECT 1 AS a;
--# error duplicate-name
