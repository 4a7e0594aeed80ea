CREATE TABLE t (
    id BIGINT,
    name TEXT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
CREATE TABLE s (n BIGINT)
WITH (connector = 'single_file', path = 's.jsonl', type = 'sink', format = 'json');
INSERT INTO s SELECT count(*) FROM t;
--# error sink-not-updating
