CREATE TABLE m (a BIGINT);
SELECT a FROM m;
--# error wrong-role
