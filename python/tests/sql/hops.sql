-- The panes of windows that overlap are combined; the arguments are computed by a function.
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

-- Its accumulator is never changed: there is a new one each time.
CREATE FUNCTION listed(price BIGINT) RETURNS TEXT LANGUAGE python AS $$
class listed:
    def initial(self):
        return ()

    def update(self, price, prices):
        return prices + (price,)

    def combine(self, prices, others):
        return prices + others

    def output(self, prices):
        return ",".join(map(str, sorted(prices)))
$$;

CREATE FUNCTION gross(price BIGINT) RETURNS BIGINT LANGUAGE python AS 'def gross(price): return 2 * price';
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT w.start AS start, city, prices
FROM (
    SELECT hop(INTERVAL '30 seconds', INTERVAL '1 minute') AS w, city, listed(gross(price)) AS prices
    FROM orders WHERE city IS NOT NULL GROUP BY w, city
);

--# expect final
{"start": "2024-05-01T09:59:30", "city": "Rome", "prices": "20"}
{"start": "2024-05-01T10:00:00", "city": "Rome", "prices": "14,20"}
{"start": "2024-05-01T10:00:30", "city": "Rome", "prices": "14"}
{"start": "2024-05-01T10:01:30", "city": "Rome", "prices": "198"}
{"start": "2024-05-01T10:02:00", "city": "Rome", "prices": "198"}
{"start": "2024-05-01T10:00:00", "city": "Oslo", "prices": "10,40"}
{"start": "2024-05-01T10:00:30", "city": "Oslo", "prices": "10,40"}
{"start": "2024-05-01T10:00:00", "city": "Bern", "prices": "16"}
{"start": "2024-05-01T10:00:30", "city": "Bern", "prices": "16"}
{"start": "2024-05-01T10:00:30", "city": "Graz", "prices": "12"}
{"start": "2024-05-01T10:01:00", "city": "Graz", "prices": "12"}
--# end
