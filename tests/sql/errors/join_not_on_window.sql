CREATE TABLE t (city TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE VIEW a AS SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n FROM t GROUP BY window, city;
SELECT x.city FROM a AS x
JOIN a AS y ON x.city = y.city;
--# error join-without-window
