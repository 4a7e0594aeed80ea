-- Event time from a generated column; the older option names.
--# input t
{"id": 1, "ms": 1714557600000}
{"id": 2, "ms": 1714557601000}
{"id": 3, "ms": 1714557661000}
{"id": 4, "ms": 1714557662000}
--# end
CREATE TABLE t (
    id BIGINT,
    ms BIGINT,
    at TIMESTAMP GENERATED ALWAYS AS (to_timestamp_millis(ms)) STORED,
    mark TIMESTAMP NOT NULL GENERATED ALWAYS AS (to_timestamp_millis(ms) - INTERVAL '1 second')
) WITH (
    connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json',
    event_time_field = 'at', watermark_field = 'mark'
);
SELECT tumble(INTERVAL '1 minute') AS w, id % 2 AS odd, count(*) AS n FROM t GROUP BY 1, 2;
--# expect final
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:01:00"}, "odd": 1, "n": 1}
{"w": {"start": "2024-05-01T10:00:00", "end": "2024-05-01T10:01:00"}, "odd": 0, "n": 1}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:02:00"}, "odd": 1, "n": 1}
{"w": {"start": "2024-05-01T10:01:00", "end": "2024-05-01T10:02:00"}, "odd": 0, "n": 1}
--# end
--# expect late 0
