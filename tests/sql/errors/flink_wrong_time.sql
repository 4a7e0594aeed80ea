CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(id), INTERVAL '10' SECOND));
--# error invalid-window
