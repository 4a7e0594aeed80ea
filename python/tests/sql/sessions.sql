-- Sessions grow and join.
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

-- Its accumulator is pickled, as one of a class of the body.
CREATE FUNCTION listed(price BIGINT) RETURNS TEXT LANGUAGE python AS $$
class Seen:
    def __init__(self):
        self.prices = []

class listed:
    def initial(self):
        return Seen()

    def update(self, price, seen):
        seen.prices.append(price)
        return seen

    def combine(self, seen, other):
        seen.prices += other.prices
        return seen

    def output(self, seen):
        return ",".join(map(str, sorted(seen.prices)))
$$;

CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT city, listed(price) AS prices FROM orders GROUP BY city, session(INTERVAL '35 seconds');

--# expect final
{"city": "Rome", "prices": "7,10"}
{"city": "Oslo", "prices": "5,20"}
{"city": "Bern", "prices": "8"}
{"city": null, "prices": "9"}
{"city": "Graz", "prices": "6"}
{"city": "Rome", "prices": "99"}
--# end
