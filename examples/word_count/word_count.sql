-- Word count in SQL: lines of text come in over TCP, and every change of a total goes out.

CREATE TABLE text (
    value TEXT NOT NULL
) WITH (
    connector = 'tcp',
    type = 'source',
    address = '127.0.0.1:7010',
    framing = 'newline',
    format = 'raw_string'
);

CREATE TABLE totals (
    word TEXT NOT NULL,
    total BIGINT NOT NULL
) WITH (
    connector = 'tcp',
    type = 'sink',
    address = '127.0.0.1:7002',
    framing = 'newline',
    format = 'debezium_json'
);

CREATE VIEW words AS
SELECT btrim(unnest(string_to_array(lower(value), ' ')), '.,;:!?()"-') AS word FROM text;

INSERT INTO totals
SELECT word, count(*) AS total FROM words WHERE word <> '' GROUP BY word;
