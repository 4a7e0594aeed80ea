-- Two keys and the window, over forty rows of which some are out of order.
--# input t
{"city": null, "kind": "b", "v": 8, "time": "2024-05-01T10:00:00Z"}
{"city": "Rome", "kind": "a", "v": 19, "time": "2024-05-01T10:00:01Z"}
{"city": null, "kind": "a", "v": -3, "time": "2024-05-01T10:00:18Z"}
{"city": "Rome", "kind": "a", "v": 11, "time": "2024-05-01T10:00:00Z"}
{"city": "Rome", "kind": "b", "v": 8, "time": "2024-05-01T10:00:00Z"}
{"city": null, "kind": "a", "v": 13, "time": "2024-05-01T10:00:48Z"}
{"city": "Rome", "kind": "a", "v": -5, "time": "2024-05-01T10:00:56Z"}
{"city": null, "kind": "a", "v": 18, "time": "2024-05-01T10:00:54Z"}
{"city": "Oslo", "kind": "a", "v": 10, "time": "2024-05-01T10:01:04Z"}
{"city": "Oslo", "kind": "b", "v": null, "time": "2024-05-01T10:00:00Z"}
{"city": "Oslo", "kind": "b", "v": 7, "time": "2024-05-01T10:01:00Z"}
{"city": null, "kind": "b", "v": 4, "time": "2024-05-01T10:01:16Z"}
{"city": "Oslo", "kind": "a", "v": -4, "time": "2024-05-01T10:01:09Z"}
{"city": "Rome", "kind": "b", "v": -3, "time": "2024-05-01T10:01:36Z"}
{"city": "Rome", "kind": "a", "v": 15, "time": "2024-05-01T10:01:42Z"}
{"city": "Rome", "kind": "a", "v": 9, "time": "2024-05-01T10:01:40Z"}
{"city": "Oslo", "kind": "b", "v": -4, "time": "2024-05-01T10:01:41Z"}
{"city": "Rome", "kind": "b", "v": 4, "time": "2024-05-01T10:02:06Z"}
{"city": "Oslo", "kind": "a", "v": 7, "time": "2024-05-01T10:02:10Z"}
{"city": "Rome", "kind": "a", "v": null, "time": "2024-05-01T10:02:12Z"}
{"city": "Oslo", "kind": "a", "v": 15, "time": "2024-05-01T10:02:04Z"}
{"city": "Oslo", "kind": "a", "v": 17, "time": "2024-05-01T10:02:22Z"}
{"city": null, "kind": "b", "v": -3, "time": "2024-05-01T10:02:23Z"}
{"city": "Rome", "kind": "a", "v": 2, "time": "2024-05-01T10:02:19Z"}
{"city": "Rome", "kind": "a", "v": -1, "time": "2024-05-01T10:02:33Z"}
{"city": null, "kind": "a", "v": -5, "time": "2024-05-01T10:02:47Z"}
{"city": "Oslo", "kind": "b", "v": null, "time": "2024-05-01T10:02:35Z"}
{"city": "Oslo", "kind": "b", "v": -4, "time": "2024-05-01T10:02:55Z"}
{"city": "Rome", "kind": "a", "v": null, "time": "2024-05-01T10:02:41Z"}
{"city": "Oslo", "kind": "b", "v": -2, "time": "2024-05-01T10:02:46Z"}
{"city": null, "kind": "a", "v": 6, "time": "2024-05-01T10:03:08Z"}
{"city": "Rome", "kind": "b", "v": 1, "time": "2024-05-01T10:03:03Z"}
{"city": null, "kind": "a", "v": -1, "time": "2024-05-01T10:02:01Z"}
{"city": null, "kind": "a", "v": 15, "time": "2024-05-01T10:03:26Z"}
{"city": null, "kind": "a", "v": 7, "time": "2024-05-01T10:03:38Z"}
{"city": "Rome", "kind": "a", "v": 10, "time": "2024-05-01T10:03:39Z"}
{"city": null, "kind": "b", "v": 2, "time": "2024-05-01T10:03:37Z"}
{"city": "Oslo", "kind": "b", "v": 10, "time": "2024-05-01T10:03:51Z"}
{"city": "Rome", "kind": "a", "v": 1, "time": "2024-05-01T10:03:57Z"}
{"city": null, "kind": "a", "v": 2, "time": "2024-05-01T10:04:10Z"}
--# end
CREATE TABLE t (city TEXT, kind TEXT, v BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '10 seconds')
WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');
SELECT w.start AS start, city, kind, n, total, least, most FROM (
    SELECT tumble(INTERVAL '1 minute') AS w, city, kind, count(*) AS n, sum(v) AS total, min(v) AS least, max(v) AS most
    FROM t GROUP BY w, city, kind
);
--# expect final
{"start": "2024-05-01T10:00:00", "city": "Oslo", "kind": "b", "n": 1, "total": null, "least": null, "most": null}
{"start": "2024-05-01T10:00:00", "city": "Rome", "kind": "a", "n": 3, "total": 25, "least": -5, "most": 19}
{"start": "2024-05-01T10:00:00", "city": "Rome", "kind": "b", "n": 1, "total": 8, "least": 8, "most": 8}
{"start": "2024-05-01T10:00:00", "city": null, "kind": "a", "n": 3, "total": 28, "least": -3, "most": 18}
{"start": "2024-05-01T10:00:00", "city": null, "kind": "b", "n": 1, "total": 8, "least": 8, "most": 8}
{"start": "2024-05-01T10:01:00", "city": "Oslo", "kind": "a", "n": 2, "total": 6, "least": -4, "most": 10}
{"start": "2024-05-01T10:01:00", "city": "Oslo", "kind": "b", "n": 2, "total": 3, "least": -4, "most": 7}
{"start": "2024-05-01T10:01:00", "city": "Rome", "kind": "a", "n": 2, "total": 24, "least": 9, "most": 15}
{"start": "2024-05-01T10:01:00", "city": "Rome", "kind": "b", "n": 1, "total": -3, "least": -3, "most": -3}
{"start": "2024-05-01T10:01:00", "city": null, "kind": "b", "n": 1, "total": 4, "least": 4, "most": 4}
{"start": "2024-05-01T10:02:00", "city": "Oslo", "kind": "a", "n": 3, "total": 39, "least": 7, "most": 17}
{"start": "2024-05-01T10:02:00", "city": "Oslo", "kind": "b", "n": 3, "total": -6, "least": -4, "most": -2}
{"start": "2024-05-01T10:02:00", "city": "Rome", "kind": "a", "n": 4, "total": 1, "least": -1, "most": 2}
{"start": "2024-05-01T10:02:00", "city": "Rome", "kind": "b", "n": 1, "total": 4, "least": 4, "most": 4}
{"start": "2024-05-01T10:02:00", "city": null, "kind": "a", "n": 2, "total": -6, "least": -5, "most": -1}
{"start": "2024-05-01T10:02:00", "city": null, "kind": "b", "n": 1, "total": -3, "least": -3, "most": -3}
{"start": "2024-05-01T10:03:00", "city": "Oslo", "kind": "b", "n": 1, "total": 10, "least": 10, "most": 10}
{"start": "2024-05-01T10:03:00", "city": "Rome", "kind": "a", "n": 2, "total": 11, "least": 1, "most": 10}
{"start": "2024-05-01T10:03:00", "city": "Rome", "kind": "b", "n": 1, "total": 1, "least": 1, "most": 1}
{"start": "2024-05-01T10:03:00", "city": null, "kind": "a", "n": 3, "total": 28, "least": 6, "most": 15}
{"start": "2024-05-01T10:03:00", "city": null, "kind": "b", "n": 1, "total": 2, "least": 2, "most": 2}
{"start": "2024-05-01T10:04:00", "city": null, "kind": "a", "n": 1, "total": 2, "least": 2, "most": 2}
--# end
--# expect late 0
