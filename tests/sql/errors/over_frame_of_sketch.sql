CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT approx_distinct(id) OVER (PARTITION BY window ORDER BY time
    ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM t);
--# error invalid-query
