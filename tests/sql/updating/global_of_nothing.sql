-- An aggregate without a key has one row, of nothing too.
--# input events
--# end
CREATE TABLE events (v BIGINT)
WITH (connector = 'single_file', path = 'events.jsonl', type = 'source', format = 'json');
SELECT count(*) AS n, sum(v) AS total FROM events;
--# expect final
{"n": 0, "total": null}
--# end
