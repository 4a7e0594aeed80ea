CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT id FROM t WHERE count(*) > 1;
--# error invalid-aggregate
