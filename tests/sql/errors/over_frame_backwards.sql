CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT sum(id) OVER (PARTITION BY window ORDER BY time
    ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING) FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM t);
--# error invalid-query
