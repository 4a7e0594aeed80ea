CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT id, session(INTERVAL '1 minute') AS window FROM t;
--# error invalid-window
