-- A function that gives a list, of which each element is a row; one of a struct; and both sides of a union.
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

CREATE FUNCTION digits(price BIGINT) RETURNS TEXT[] LANGUAGE python AS 'def digits(price): return list(str(price))';
CREATE FUNCTION halves(price BIGINT) RETURNS STRUCT<a BIGINT, b BIGINT> LANGUAGE python AS $$
def halves(price):
    return {"a": price // 2, "b": price - price // 2}
$$;
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

CREATE VIEW halved AS SELECT id, price, halves(price) AS h FROM orders;
SELECT id, unnest(digits(price)) AS digit, h.a + h.b AS price FROM halved WHERE id > 6
UNION ALL
SELECT id, 'x' AS digit, h.b AS price FROM halved WHERE id < 3;

--# expect final
{"id": 7, "digit": "5", "price": 5}
{"id": 8, "digit": "6", "price": 6}
{"id": 9, "digit": "9", "price": 99}
{"id": 9, "digit": "9", "price": 99}
{"id": 1, "digit": "x", "price": 5}
{"id": 2, "digit": "x", "price": 10}
--# end
