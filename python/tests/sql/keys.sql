-- What functions give is grouped by, joined by, kept once, and a condition on groups.
--# input orders
{"id": 1, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:30Z"}
{"id": 3, "city": "Rome", "price": null, "time": "2024-05-01T10:00:31Z"}
{"id": 4, "city": "Rome", "price": 7, "time": "2024-05-01T10:00:32Z"}
{"id": 5, "city": "Bern", "price": 8, "time": "2024-05-01T10:00:33Z"}
{"id": 6, "city": null, "price": 9, "time": "2024-05-01T10:00:34Z"}
{"id": 7, "city": "Oslo", "price": 5, "time": "2024-05-01T10:00:50Z"}
{"id": 8, "city": "Graz", "price": 6, "time": "2024-05-01T10:01:05Z"}
{"id": 9, "city": "Rome", "price": 99, "time": "2024-05-01T10:02:10Z"}
--# end

CREATE FUNCTION initial(city TEXT) RETURNS TEXT LANGUAGE python AS 'def initial(city): return city[0]';
CREATE FUNCTION far(city TEXT) RETURNS BOOLEAN LANGUAGE python AS 'def far(city): return city in ("Oslo", "Graz")';
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

CREATE VIEW windowed AS SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders;
CREATE TABLE pairs (a BIGINT, b BIGINT) WITH (connector = 'single_file', path = '/not/written/a', type = 'sink', format = 'json');
CREATE TABLE initials (i TEXT) WITH (connector = 'single_file', path = '/not/written/b', type = 'sink', format = 'debezium_json');
CREATE TABLE sums (i TEXT, n BIGINT) WITH (connector = 'single_file', path = '/not/written/c', type = 'sink', format = 'json');

INSERT INTO pairs SELECT a.id, b.id FROM windowed a JOIN windowed b
    ON a.window = b.window AND initial(a.city) = initial(b.city) AND a.id < b.id;
INSERT INTO initials SELECT DISTINCT initial(city) FROM orders WHERE far(city);
INSERT INTO sums SELECT initial(city), count(*) FROM orders GROUP BY initial(city), tumble(INTERVAL '1 minute')
    HAVING far(max(city)) OR initial(min(city)) = 'R';

--# expect final pairs
{"a": 1, "b": 3}
{"a": 1, "b": 4}
{"a": 3, "b": 4}
{"a": 2, "b": 7}
--# end
--# expect final initials
{"i": "O"}
{"i": "G"}
--# end
--# expect final sums
{"i": "R", "n": 3}
{"i": "O", "n": 2}
{"i": "G", "n": 1}
{"i": "R", "n": 1}
--# end
