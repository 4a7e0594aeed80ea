-- No key but the window, twelve panes wide: all rows of a window meet in one subtask.
--# one-key there is no key
--# input orders
{"id": 1, "city": "Bern", "price": 6, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Kyiv", "price": 30, "time": "2024-05-01T10:00:00Z"}
{"id": 3, "city": "Rome", "price": 4, "time": "2024-05-01T10:00:15Z"}
{"id": 4, "city": "Kyiv", "price": 35, "time": "2024-05-01T10:00:22Z"}
{"id": 5, "city": "Rome", "price": 14, "time": "2024-05-01T10:00:28Z"}
{"id": 6, "city": null, "price": 23, "time": "2024-05-01T10:00:25Z"}
{"id": 7, "city": "Oslo", "price": 52, "time": "2024-05-01T10:00:43Z"}
{"id": 8, "city": "Bern", "price": 13, "time": "2024-05-01T10:00:52Z"}
{"id": 9, "city": "Bern", "price": 51, "time": "2024-05-01T10:01:00Z"}
{"id": 10, "city": "Oslo", "price": 10, "time": "2024-05-01T10:01:05Z"}
{"id": 11, "city": "Bern", "price": 40, "time": "2024-05-01T10:01:13Z"}
{"id": 12, "city": "Bern", "price": 5, "time": "2024-05-01T10:00:00Z"}
{"id": 13, "city": null, "price": 21, "time": "2024-05-01T10:00:00Z"}
{"id": 14, "city": "Kyiv", "price": 32, "time": "2024-05-01T10:00:57Z"}
{"id": 15, "city": "Oslo", "price": 15, "time": "2024-05-01T10:01:45Z"}
{"id": 16, "city": "Bern", "price": 5, "time": "2024-05-01T10:01:46Z"}
{"id": 17, "city": null, "price": 53, "time": "2024-05-01T10:00:30Z"}
{"id": 18, "city": "Rome", "price": 58, "time": "2024-05-01T10:02:05Z"}
{"id": 19, "city": null, "price": 45, "time": "2024-05-01T10:02:13Z"}
{"id": 20, "city": null, "price": 12, "time": "2024-05-01T10:02:20Z"}
{"id": 21, "city": "Kyiv", "price": 38, "time": "2024-05-01T10:02:24Z"}
{"id": 22, "city": "Kyiv", "price": 28, "time": "2024-05-01T10:02:35Z"}
{"id": 23, "city": "Oslo", "price": 19, "time": "2024-05-01T10:02:45Z"}
{"id": 24, "city": "Rome", "price": 5, "time": "2024-05-01T10:02:50Z"}
{"id": 25, "city": "Kyiv", "price": 40, "time": "2024-05-01T10:03:00Z"}
{"id": 26, "city": null, "price": 34, "time": "2024-05-01T10:03:05Z"}
{"id": 27, "city": "Kyiv", "price": 44, "time": "2024-05-01T10:02:35Z"}
{"id": 28, "city": "Oslo", "price": 43, "time": "2024-05-01T10:03:20Z"}
{"id": 29, "city": "Rome", "price": 26, "time": "2024-05-01T10:03:30Z"}
{"id": 30, "city": "Kyiv", "price": 17, "time": "2024-05-01T10:03:37Z"}
{"id": 31, "city": "Bern", "price": 27, "time": "2024-05-01T10:03:45Z"}
{"id": 32, "city": null, "price": 20, "time": "2024-05-01T10:03:12Z"}
{"id": 33, "city": null, "price": 12, "time": "2024-05-01T10:03:20Z"}
{"id": 34, "city": "Rome", "price": 53, "time": "2024-05-01T10:04:05Z"}
{"id": 35, "city": "Oslo", "price": 17, "time": "2024-05-01T10:04:15Z"}
{"id": 36, "city": null, "price": 39, "time": "2024-05-01T10:02:52Z"}
{"id": 37, "city": "Oslo", "price": 7, "time": "2024-05-01T10:03:00Z"}
{"id": 38, "city": "Oslo", "price": 18, "time": "2024-05-01T10:04:35Z"}
{"id": 39, "city": "Rome", "price": 2, "time": "2024-05-01T10:04:39Z"}
{"id": 40, "city": "Rome", "price": 57, "time": "2024-05-01T10:04:50Z"}
--# end

CREATE TABLE orders (
    id BIGINT NOT NULL,
    city TEXT,
    price BIGINT,
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'orders.jsonl', type = 'source', format = 'json');

SELECT w.end AS "end", n, total
FROM (SELECT hop(INTERVAL '5 seconds', INTERVAL '1 minute') AS w, count(*) AS n, sum(price) AS total FROM orders GROUP BY w);

--# expect final
{"end": "2024-05-01T10:00:05", "n": 2, "total": 36}
{"end": "2024-05-01T10:00:10", "n": 2, "total": 36}
{"end": "2024-05-01T10:00:15", "n": 2, "total": 36}
{"end": "2024-05-01T10:00:20", "n": 3, "total": 40}
{"end": "2024-05-01T10:00:25", "n": 4, "total": 75}
{"end": "2024-05-01T10:00:30", "n": 6, "total": 112}
{"end": "2024-05-01T10:00:35", "n": 6, "total": 112}
{"end": "2024-05-01T10:00:40", "n": 6, "total": 112}
{"end": "2024-05-01T10:00:45", "n": 7, "total": 164}
{"end": "2024-05-01T10:00:50", "n": 7, "total": 164}
{"end": "2024-05-01T10:00:55", "n": 8, "total": 177}
{"end": "2024-05-01T10:01:00", "n": 8, "total": 177}
{"end": "2024-05-01T10:01:05", "n": 7, "total": 192}
{"end": "2024-05-01T10:01:10", "n": 9, "total": 234}
{"end": "2024-05-01T10:01:15", "n": 10, "total": 274}
{"end": "2024-05-01T10:01:20", "n": 9, "total": 270}
{"end": "2024-05-01T10:01:25", "n": 8, "total": 235}
{"end": "2024-05-01T10:01:30", "n": 6, "total": 198}
{"end": "2024-05-01T10:01:35", "n": 6, "total": 198}
{"end": "2024-05-01T10:01:40", "n": 6, "total": 198}
{"end": "2024-05-01T10:01:45", "n": 5, "total": 146}
{"end": "2024-05-01T10:01:50", "n": 7, "total": 166}
{"end": "2024-05-01T10:01:55", "n": 6, "total": 153}
{"end": "2024-05-01T10:02:00", "n": 5, "total": 121}
{"end": "2024-05-01T10:02:05", "n": 4, "total": 70}
{"end": "2024-05-01T10:02:10", "n": 4, "total": 118}
{"end": "2024-05-01T10:02:15", "n": 4, "total": 123}
{"end": "2024-05-01T10:02:20", "n": 4, "total": 123}
{"end": "2024-05-01T10:02:25", "n": 6, "total": 173}
{"end": "2024-05-01T10:02:30", "n": 6, "total": 173}
{"end": "2024-05-01T10:02:35", "n": 6, "total": 173}
{"end": "2024-05-01T10:02:40", "n": 7, "total": 201}
{"end": "2024-05-01T10:02:45", "n": 7, "total": 201}
{"end": "2024-05-01T10:02:50", "n": 6, "total": 200}
{"end": "2024-05-01T10:02:55", "n": 7, "total": 205}
{"end": "2024-05-01T10:03:00", "n": 7, "total": 205}
{"end": "2024-05-01T10:03:05", "n": 9, "total": 289}
{"end": "2024-05-01T10:03:10", "n": 9, "total": 265}
{"end": "2024-05-01T10:03:15", "n": 8, "total": 220}
{"end": "2024-05-01T10:03:20", "n": 8, "total": 220}
{"end": "2024-05-01T10:03:25", "n": 7, "total": 213}
{"end": "2024-05-01T10:03:30", "n": 7, "total": 213}
{"end": "2024-05-01T10:03:35", "n": 8, "total": 239}
{"end": "2024-05-01T10:03:40", "n": 7, "total": 184}
{"end": "2024-05-01T10:03:45", "n": 9, "total": 216}
{"end": "2024-05-01T10:03:50", "n": 9, "total": 224}
{"end": "2024-05-01T10:03:55", "n": 8, "total": 219}
{"end": "2024-05-01T10:04:00", "n": 8, "total": 219}
{"end": "2024-05-01T10:04:05", "n": 7, "total": 179}
{"end": "2024-05-01T10:04:10", "n": 7, "total": 198}
{"end": "2024-05-01T10:04:15", "n": 6, "total": 178}
{"end": "2024-05-01T10:04:20", "n": 7, "total": 195}
{"end": "2024-05-01T10:04:25", "n": 5, "total": 140}
{"end": "2024-05-01T10:04:30", "n": 5, "total": 140}
{"end": "2024-05-01T10:04:35", "n": 4, "total": 114}
{"end": "2024-05-01T10:04:40", "n": 5, "total": 117}
{"end": "2024-05-01T10:04:45", "n": 5, "total": 117}
{"end": "2024-05-01T10:04:50", "n": 4, "total": 90}
{"end": "2024-05-01T10:04:55", "n": 5, "total": 147}
{"end": "2024-05-01T10:05:00", "n": 5, "total": 147}
{"end": "2024-05-01T10:05:05", "n": 5, "total": 147}
{"end": "2024-05-01T10:05:10", "n": 4, "total": 94}
{"end": "2024-05-01T10:05:15", "n": 4, "total": 94}
{"end": "2024-05-01T10:05:20", "n": 3, "total": 77}
{"end": "2024-05-01T10:05:25", "n": 3, "total": 77}
{"end": "2024-05-01T10:05:30", "n": 3, "total": 77}
{"end": "2024-05-01T10:05:35", "n": 3, "total": 77}
{"end": "2024-05-01T10:05:40", "n": 1, "total": 57}
{"end": "2024-05-01T10:05:45", "n": 1, "total": 57}
{"end": "2024-05-01T10:05:50", "n": 1, "total": 57}
--# end
--# expect late 5
