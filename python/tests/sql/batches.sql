-- A function of whole batches.
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
import pyarrow.compute as pc
import thalweg

@thalweg.udf(batch=True)
def gross(price):
    assert price.null_count == 0
    return pc.multiply(price, 2)
$$;
CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT city, sum(gross(price)) AS total, max(gross(id)) AS id FROM orders GROUP BY city, tumble(INTERVAL '1 minute');

--# expect final
{"city": "Rome", "total": 34, "id": 8}
{"city": "Oslo", "total": 50, "id": 14}
{"city": "Bern", "total": 16, "id": 10}
{"city": null, "total": 18, "id": 12}
{"city": "Graz", "total": 12, "id": 16}
{"city": "Rome", "total": 198, "id": 18}
--# end
