CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT count(*) FROM t
GROUP BY tumble(INTERVAL '1 minute'), tumble(INTERVAL '2 minutes');
--# error invalid-window
