-- Lengths of time and maps come to functions and go from them, in every world.
--# input stays
{"id": 1, "city": "Rome", "from": "2024-05-01T10:00:00Z", "until": "2024-05-03T09:00:00.5Z"}
{"id": 2, "city": "Oslo", "from": "2024-05-01T10:00:30Z", "until": "2024-05-01T10:00:00Z"}
{"id": 3, "city": "Rome", "from": "2024-05-01T10:00:40Z", "until": null}
{"id": 4, "city": "Oslo", "from": "2024-05-01T10:00:45Z", "until": "2024-05-02T10:00:45Z"}
--# end

CREATE TABLE stays (
    id BIGINT, city TEXT, "from" TIMESTAMP NOT NULL, until TIMESTAMP, WATERMARK FOR "from"
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

CREATE FUNCTION doubled(length INTERVAL) RETURNS INTERVAL LANGUAGE python AS 'def doubled(length): return 2 * length';

CREATE FUNCTION counted(id BIGINT, length INTERVAL) RETURNS MAP(TEXT, INTERVAL) NOT NULL LANGUAGE python AS $$
class counted:
    def initial(self):
        return {}

    def update(self, id, length, seen):
        seen[f"stay {id}"] = length
        return seen

    def combine(self, seen, other):
        return seen | other

    def output(self, seen):
        return seen
$$;

CREATE FUNCTION longest(lengths MAP(TEXT, INTERVAL)) RETURNS TEXT LANGUAGE python AS $$
def longest(lengths):
    return max(lengths, key=lengths.get, default=None)
$$;

SELECT city, longest(lengths) AS longest, cardinality(lengths) AS n, longest = 'stay 1' AS first
FROM (
    SELECT city, lengths, longest(lengths) AS longest FROM (
        SELECT city, counted(id, doubled(until - "from")) AS lengths
        FROM stays GROUP BY city, tumble(INTERVAL '1 minute')
    )
);

--# expect final
{"city": "Rome", "longest": "stay 1", "n": 1, "first": true}
{"city": "Oslo", "longest": "stay 4", "n": 2, "first": false}
--# end
