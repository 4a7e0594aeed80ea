CREATE TABLE m (a BIGINT);
SELECT a FROM m;
--# error invalid-query
