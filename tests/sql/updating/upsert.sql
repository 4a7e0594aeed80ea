-- A sink with a primary key gets one row a key.
--# input events
{"k": 1, "v": 3}
{"k": 2, "v": 1}
{"k": 1, "v": 5}
{"k": 3, "v": 5}
{"k": 4, "v": 5}
--# end
CREATE TABLE events (k BIGINT, v BIGINT)
WITH (connector = 'single_file', path = 'events.jsonl', type = 'source', format = 'json');
CREATE TABLE totals (k BIGINT PRIMARY KEY, total BIGINT)
WITH (connector = 'single_file', path = 'totals.jsonl', type = 'sink', format = 'debezium_json');
INSERT INTO totals SELECT k, sum(v) FROM events GROUP BY k;
--# expect final
{"k": 1, "total": 8}
{"k": 2, "total": 1}
{"k": 3, "total": 5}
{"k": 4, "total": 5}
--# end
