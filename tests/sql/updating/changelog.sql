-- Each changed key: one retract, one assert; nothing where the result stays.
--# input events
{"k": "a", "v": 3}
{"k": "b", "v": 1}
{"k": "a", "v": 5}
{"k": "a", "v": 4}
{"k": "b", "v": 7}
--# end
CREATE TABLE events (k TEXT, v BIGINT)
WITH (connector = 'single_file', path = 'events.jsonl', type = 'source', format = 'json');
SELECT k, max(v) AS top FROM events GROUP BY k;
--# expect changelog
+ {"k": "a", "top": 3}
+ {"k": "b", "top": 1}
- {"k": "a", "top": 3}
+ {"k": "a", "top": 5}
- {"k": "b", "top": 1}
+ {"k": "b", "top": 7}
--# end
--# expect final
{"k": "a", "top": 5}
{"k": "b", "top": 7}
--# end
