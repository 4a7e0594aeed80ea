-- Keys that are empty, missing, huge, and floats of all kinds. Zero is one key, whatever its sign; NaN is
-- equal to itself, and one with other bits (a sign) is another key, as in batch.
--# input events
{"k": "", "x": "0.0", "n": 1}
{"k": null, "x": "-0.0", "n": 2}
{"k": "a", "x": "NaN", "n": 3}
{"k": "", "x": "-NaN", "n": 4}
{"k": "b", "x": "0", "n": 5}
{"k": "a", "x": "inf", "n": 6}
{"k": null, "x": "NaN", "n": 7}
{"k": "a", "x": "-inf", "n": 8}
--# end
CREATE TABLE events (k TEXT, x TEXT, n BIGINT)
WITH (connector = 'single_file', path = 'events.jsonl', type = 'source', format = 'json');
CREATE VIEW keyed AS SELECT repeat(k, 100000) AS huge, CAST(x AS DOUBLE) AS x, n FROM events;
CREATE VIEW by_number AS SELECT x, count(*) AS n, sum(n) AS total FROM keyed GROUP BY x;
CREATE VIEW by_text AS SELECT huge, count(*) AS n, sum(n) AS total FROM keyed GROUP BY huge;
SELECT CAST(x AS TEXT) AS key, n, total FROM by_number
UNION ALL
SELECT concat('text ', CAST(length(huge) AS TEXT), ' ', left(huge, 1)) AS key, n, total FROM by_text;
--# expect final
{"key": "0.0", "n": 3, "total": 8}
{"key": "NaN", "n": 2, "total": 10}
{"key": "NaN", "n": 1, "total": 4}
{"key": "inf", "n": 1, "total": 6}
{"key": "-inf", "n": 1, "total": 8}
{"key": "text 0 ", "n": 2, "total": 5}
{"key": "text 100000 a", "n": 3, "total": 17}
{"key": "text 100000 b", "n": 1, "total": 5}
{"key": "text  ", "n": 2, "total": 9}
--# end
