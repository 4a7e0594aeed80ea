CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT name FROM t WHERE tumble(INTERVAL '1 minute') IS NOT NULL;
--# error invalid-window
