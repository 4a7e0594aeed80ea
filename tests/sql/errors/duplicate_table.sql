CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE VIEW t AS SELECT 1 AS a;
SELECT * FROM t;
--# error duplicate-name
