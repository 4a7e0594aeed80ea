-- A function in what else a join asks for.
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

CREATE FUNCTION near(a BIGINT, b BIGINT) RETURNS BOOLEAN LANGUAGE python AS 'def near(a, b): return abs(a - b) < 3';
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

CREATE VIEW windowed AS SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders;
SELECT a.id AS a, b.id AS b FROM windowed a JOIN windowed b ON a.window = b.window AND near(a.price, b.price) AND a.id < b.id;

--# expect final
{"a": 1, "b": 5}
{"a": 1, "b": 6}
{"a": 4, "b": 5}
{"a": 4, "b": 6}
{"a": 4, "b": 7}
{"a": 5, "b": 6}
--# end
--# one-key a window has one key
