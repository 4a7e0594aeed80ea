CREATE TABLE s (a BIGINT) WITH (connector = 'blackhole');
SELECT a FROM s;
--# error wrong-role
