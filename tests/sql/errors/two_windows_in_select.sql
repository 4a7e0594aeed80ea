CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT id, tumble(INTERVAL '1 minute') AS a,
    tumble(INTERVAL '2 minutes') AS b FROM t;
--# error invalid-window
