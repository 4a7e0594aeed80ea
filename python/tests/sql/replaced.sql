-- Functions that take the place of others: each query, and each view, has those that held where it stands.
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

CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

-- The accumulators of both are pickled, each as one of a class of its own body.
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

CREATE FUNCTION shown(city TEXT) RETURNS TEXT LANGUAGE python AS 'def shown(city): return city.upper()';

CREATE VIEW first AS SELECT shown(city) AS city, listed(price) AS prices FROM orders GROUP BY city, tumble(INTERVAL '1 minute');

CREATE OR REPLACE FUNCTION listed(price BIGINT, id BIGINT) RETURNS BIGINT LANGUAGE python AS $$
class Seen:
    def __init__(self):
        self.product = 1

class listed:
    def initial(self):
        return Seen()

    def update(self, price, id, seen):
        seen.product *= price + id
        return seen

    def combine(self, seen, other):
        seen.product *= other.product
        return seen

    def output(self, seen):
        return seen.product
$$;

-- What was an aggregate may become a function of a row, and the other way round.
CREATE OR REPLACE FUNCTION shown(city TEXT) RETURNS BIGINT LANGUAGE python AS $$
class shown:
    def initial(self):
        return 0

    def update(self, city, length):
        return length + len(city)

    def combine(self, length, other):
        return length + other

    def output(self, length):
        return length
$$;

CREATE TABLE a (city TEXT, prices TEXT) WITH (connector = 'blackhole');
CREATE TABLE b (city TEXT, length BIGINT, product BIGINT) WITH (connector = 'blackhole');
INSERT INTO a SELECT city, prices FROM first;
INSERT INTO b SELECT city, shown(city), listed(price, id) FROM orders GROUP BY city, tumble(INTERVAL '1 minute');

--# expect final a
{"city": "ROME", "prices": "7,10"}
{"city": "OSLO", "prices": "5,20"}
{"city": "BERN", "prices": "8"}
{"city": null, "prices": "9"}
{"city": "GRAZ", "prices": "6"}
{"city": "ROME", "prices": "99"}
--# end
--# expect final b
{"city": "Rome", "length": 12, "product": 121}
{"city": "Oslo", "length": 8, "product": 264}
{"city": "Bern", "length": 4, "product": 13}
{"city": null, "length": 0, "product": 15}
{"city": "Graz", "length": 4, "product": 14}
{"city": "Rome", "length": 4, "product": 108}
--# end
