CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT id, row_number() OVER (PARTITION BY name ORDER BY time) AS n FROM t;
--# error over-without-window
