CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT rank() OVER (w ORDER BY id) FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM t)
WINDOW w AS (PARTITION BY window);
--# error not-supported
