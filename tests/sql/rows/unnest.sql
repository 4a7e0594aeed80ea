-- A list becomes rows; no list and an empty list become none.
--# input posts
{"id": 1, "tags": ["a", "b"]}
{"id": 2, "tags": []}
{"id": 3, "tags": null}
{"id": 4, "tags": ["c", null]}
--# end
CREATE TABLE posts (id BIGINT, tags TEXT[])
WITH (connector = 'single_file', path = 'posts.jsonl', type = 'source', format = 'json');
SELECT id, unnest(tags) AS tag FROM posts;
--# expect final
{"id": 1, "tag": "a"}
{"id": 1, "tag": "b"}
{"id": 4, "tag": "c"}
{"id": 4, "tag": null}
--# end
