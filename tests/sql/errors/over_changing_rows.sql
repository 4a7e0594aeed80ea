CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT name, rank() OVER (ORDER BY n) FROM (SELECT name, count(*) AS n FROM t GROUP BY name);
--# error not-supported
