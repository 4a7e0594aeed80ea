CREATE TABLE t (city TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE VIEW a AS SELECT tumble(INTERVAL '1 minute') AS window, city, count(*) AS n FROM t GROUP BY window, city;
CREATE VIEW b AS SELECT tumble(INTERVAL '2 minutes') AS window, city FROM t GROUP BY window, city;
SELECT a.city FROM a
JOIN b ON a.city = b.city AND a.window = b.window;
--# error join-without-window
