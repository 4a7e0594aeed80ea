CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE TABLE s (a BIGINT, b TEXT) WITH (connector = 'blackhole');
INSERT INTO s SELECT id FROM t;
--# error insert-mismatch
