-- Functions that need all values of a group: deviation, median, and an ordered list.
--# input t
{"k": "r", "id": 0, "x": 3.0, "time": "2024-05-01T10:00:00Z"}
{"k": "s", "id": 0, "x": 10.0, "time": "2024-05-01T10:00:02Z"}
{"k": "p", "id": 6, "x": 7.0, "time": "2024-05-01T10:00:04Z"}
{"k": "q", "id": 2, "x": 8.0, "time": "2024-05-01T10:00:06Z"}
{"k": "s", "id": 1, "x": 20.0, "time": "2024-05-01T10:00:08Z"}
{"k": "p", "id": 0, "x": 2.0, "time": "2024-05-01T10:00:10Z"}
{"k": "p", "id": 4, "x": 5.0, "time": "2024-05-01T10:00:12Z"}
{"k": "p", "id": 1, "x": 4.0, "time": "2024-05-01T10:00:14Z"}
{"k": "p", "id": 7, "x": 9.0, "time": "2024-05-01T10:00:16Z"}
{"k": "p", "id": 5, "x": 5.0, "time": "2024-05-01T10:00:18Z"}
{"k": "p", "id": 2, "x": 4.0, "time": "2024-05-01T10:00:20Z"}
{"k": "q", "id": 0, "x": 1.5, "time": "2024-05-01T10:00:22Z"}
{"k": "q", "id": 1, "x": -2.5, "time": "2024-05-01T10:00:24Z"}
{"k": "p", "id": 3, "x": 4.0, "time": "2024-05-01T10:00:26Z"}
--# end
CREATE TABLE t (k TEXT, id BIGINT, x DOUBLE, time TIMESTAMP NOT NULL, WATERMARK FOR time)
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT k, stddev(x) AS spread, stddev_pop(x) AS spread_pop, median(x) AS middle, array_agg(id ORDER BY id DESC) AS ids
FROM t GROUP BY k, tumble(INTERVAL '1 minute');
--# expect final
{"k": "p", "spread": 2.138089935299395, "spread_pop": 2.0, "middle": 4.5, "ids": [7, 6, 5, 4, 3, 2, 1, 0]}
{"k": "q", "spread": 5.299371031861549, "spread_pop": 4.32691832858239, "middle": 1.5, "ids": [2, 1, 0]}
{"k": "r", "spread": null, "spread_pop": 0.0, "middle": 3.0, "ids": [0]}
{"k": "s", "spread": 7.0710678118654755, "spread_pop": 5.0, "middle": 15.0, "ids": [1, 0]}
--# end
--# expect late 0
