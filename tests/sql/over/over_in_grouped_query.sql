-- Results of a group compared with those of the window, in one query.
--# input orders
{"id": 1, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:05Z"}
{"id": 3, "city": "Rome", "price": 30, "time": "2024-05-01T10:00:20Z"}
{"id": 4, "city": null, "price": 5, "time": "2024-05-01T10:00:59Z"}
{"id": 5, "city": "Bern", "price": null, "time": "2024-05-01T10:01:00Z"}
{"id": 6, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:55Z"}
{"id": 7, "city": "Rome", "price": 1, "time": "2024-05-01T10:02:30Z"}
{"id": 8, "city": "Lima", "price": 2, "time": "2024-05-01T10:00:10Z"}
{"id": 9, "city": "Pisa", "price": 9, "time": "2024-05-01T10:02:31Z"}
{"id": 10, "city": "Rome", "price": null, "time": "2024-05-01T10:02:40Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '10 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT tumble(INTERVAL '1 minute') AS window, city, sum(price) AS total,
    rank() OVER (PARTITION BY tumble(INTERVAL '1 minute') ORDER BY sum(price) DESC NULLS LAST, city) AS place
FROM orders GROUP BY 1, city;
--# expect final
{"city":"Bern","place":1,"total":null,"window":{"end":"2024-05-01T10:02:00","start":"2024-05-01T10:01:00"}}
{"city":"Oslo","place":1,"total":40,"window":{"end":"2024-05-01T10:01:00","start":"2024-05-01T10:00:00"}}
{"city":"Pisa","place":1,"total":9,"window":{"end":"2024-05-01T10:03:00","start":"2024-05-01T10:02:00"}}
{"city":"Rome","place":2,"total":1,"window":{"end":"2024-05-01T10:03:00","start":"2024-05-01T10:02:00"}}
{"city":"Rome","place":2,"total":40,"window":{"end":"2024-05-01T10:01:00","start":"2024-05-01T10:00:00"}}
{"city":null,"place":3,"total":5,"window":{"end":"2024-05-01T10:01:00","start":"2024-05-01T10:00:00"}}
--# end
--# expect late 1
