-- Rows with which a function raises are dropped and counted, and no other.
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

--# set bad-data=drop
CREATE FUNCTION picky(price BIGINT) RETURNS BIGINT LANGUAGE python AS $$
def picky(price):
    if price in (20, 5):
        raise ValueError("too picky")
    return price
$$;
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT id, picky(price) AS price FROM orders;

--# expect final
{"id": 1, "price": 10}
{"id": 3, "price": null}
{"id": 4, "price": 7}
{"id": 5, "price": 8}
{"id": 6, "price": 9}
{"id": 8, "price": 6}
{"id": 9, "price": 99}
--# end
--# expect refused 2
