-- Zero is one key, whatever its sign: it is retracted with the sign that it was asserted with.
--# input events
{"x": "0.0", "n": 1}
{"x": "-0.0", "n": 2}
{"x": "1.5", "n": 3}
{"x": "-1.5", "n": 4}
{"x": "0", "n": 5}
--# end
CREATE TABLE events (x TEXT, n BIGINT)
WITH (connector = 'single_file', path = 'events.jsonl', type = 'source', format = 'json');
CREATE VIEW numbers AS SELECT CAST(x AS DOUBLE) AS x, n FROM events;
SELECT CAST(x AS TEXT) AS key, n FROM (SELECT x, sum(n) AS n FROM numbers GROUP BY x);
--# expect changelog
+ {"key": "0.0", "n": 1}
- {"key": "0.0", "n": 1}
+ {"key": "0.0", "n": 3}
+ {"key": "1.5", "n": 3}
+ {"key": "-1.5", "n": 4}
- {"key": "0.0", "n": 3}
+ {"key": "0.0", "n": 8}
--# end
--# expect final
{"key": "0.0", "n": 8}
{"key": "1.5", "n": 3}
{"key": "-1.5", "n": 4}
--# end
