-- A function of one row: in SELECT, WHERE, CASE and within other calls; NULL comes to it only where it is asked for.
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

CREATE FUNCTION gross(price BIGINT) RETURNS BIGINT LANGUAGE python AS $$
    RATE = 2

    def gross(price):
        assert price is not None
        return price * RATE
$$;

CREATE FUNCTION shown(city TEXT, price BIGINT) RETURNS TEXT NOT NULL CALLED ON NULL INPUT LANGUAGE python AS $$
def shown(city, price):
    return f"{city or 'nowhere'} {price}"
$$;

CREATE FUNCTION inverted(price BIGINT) RETURNS DOUBLE LANGUAGE python AS $$
def inverted(price):
    return 1 / (price - 10)
$$;

CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT id, gross(price) AS gross, shown(city, gross(price)) AS shown, CASE WHEN price <> 10 THEN inverted(price) END AS inverted
FROM orders
WHERE gross(id) > 2 AND (price IS NULL OR gross(price) < 100);

--# expect final
{"id": 2, "gross": 40, "shown": "Oslo 40", "inverted": 0.1}
{"id": 3, "gross": null, "shown": "Rome None", "inverted": null}
{"id": 4, "gross": 14, "shown": "Rome 14", "inverted": -0.3333333333333333}
{"id": 5, "gross": 16, "shown": "Bern 16", "inverted": -0.5}
{"id": 6, "gross": 18, "shown": "nowhere 18", "inverted": -1}
{"id": 7, "gross": 10, "shown": "Oslo 10", "inverted": -0.2}
{"id": 8, "gross": 12, "shown": "Graz 12", "inverted": -0.25}
--# end
