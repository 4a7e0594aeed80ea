-- Each type, there and back.
--# input t
{"a": true, "b": 7, "c": 1.5, "d": 12.34, "e": "x", "f": "abcd", "g": "2024-05-01", "h": "2024-05-01T10:00:00.123456Z", "i": [1, 2], "j": {"x": 1, "y": "z"}}
{"a": null, "b": null, "c": null, "d": null, "e": null, "f": null, "g": null, "h": null, "i": null, "j": null}
--# end
CREATE TABLE t (
    a BOOLEAN, b SMALLINT, c DOUBLE, d DECIMAL(10, 2), e TEXT, f BYTEA, g DATE, h TIMESTAMP, i BIGINT[], j STRUCT<x BIGINT, y TEXT>
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

CREATE FUNCTION a(v BOOLEAN) RETURNS BOOLEAN LANGUAGE python AS 'def a(v): return not v';
CREATE FUNCTION b(v BIGINT) RETURNS BIGINT LANGUAGE python AS 'def b(v): return v + 1';
CREATE FUNCTION c(v DOUBLE) RETURNS DOUBLE LANGUAGE python AS 'def c(v): return v + 1';
CREATE FUNCTION d(v DECIMAL(10, 2)) RETURNS DECIMAL(10, 2) LANGUAGE python AS 'def d(v): return v + 1';
CREATE FUNCTION e(v TEXT) RETURNS TEXT LANGUAGE python AS 'def e(v): return v + "!"';
CREATE FUNCTION f(v BYTEA) RETURNS BIGINT LANGUAGE python AS 'def f(v): return len(bytes(v))';
CREATE FUNCTION g(v DATE) RETURNS DATE LANGUAGE python AS 'def g(v): return v.replace(day=2)';
CREATE FUNCTION h(v TIMESTAMP) RETURNS TIMESTAMP LANGUAGE python AS 'def h(v): return v.replace(hour=11)';
CREATE FUNCTION i(v BIGINT[]) RETURNS BIGINT[] LANGUAGE python AS 'def i(v): return v + [3]';
CREATE FUNCTION j(v STRUCT<x BIGINT, y TEXT>) RETURNS STRUCT<x BIGINT, y TEXT> LANGUAGE python AS 'def j(v): return v | {"x": 2}';
SELECT a(a) AS a, b(b) AS b, c(b) AS b_as_double, c(c) AS c, d(d) AS d, e(e) AS e, f(f) AS f, g(g) AS g, h(h) AS h, i(i) AS i, j(j) AS j FROM t;

--# expect final
{"a": false, "b": 8, "b_as_double": 8, "c": 2.5, "d": 13.34, "e": "x!", "f": 2, "g": "2024-05-02", "h": "2024-05-01T11:00:00.123456", "i": [1, 2, 3], "j": {"x": 2, "y": "z"}}
{"a": null, "b": null, "b_as_double": null, "c": null, "d": null, "e": null, "f": null, "g": null, "h": null, "i": null, "j": null}
--# end
--# one-key nothing is shuffled
