-- An aggregate over frames of the rows of a window: those that grow, move, jump, or have no rows; NULL is passed over.
--# input orders
{"id": 1, "city": "Rome", "price": 10, "time": "2024-05-01T10:00:00Z"}
{"id": 2, "city": "Oslo", "price": 20, "time": "2024-05-01T10:00:30Z"}
{"id": 3, "city": "Rome", "price": null, "time": "2024-05-01T10:00:31Z"}
{"id": 4, "city": "Rome", "price": 7, "time": "2024-05-01T10:00:32Z"}
{"id": 5, "city": "Bern", "price": 8, "time": "2024-05-01T10:00:33Z"}
{"id": 6, "city": "Rome", "price": 9, "time": "2024-05-01T10:00:34Z"}
{"id": 7, "city": "Oslo", "price": 5, "time": "2024-05-01T10:00:50Z"}
{"id": 8, "city": "Graz", "price": 6, "time": "2024-05-01T10:01:05Z"}
{"id": 9, "city": "Rome", "price": 99, "time": "2024-05-01T10:02:10Z"}
--# end

-- Its accumulator is of a class of the body, and changed in place.
CREATE FUNCTION listed(price BIGINT) RETURNS TEXT NOT NULL LANGUAGE python AS $$
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

CREATE TABLE orders (
    id BIGINT, city TEXT, price BIGINT, time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 minute'
) WITH (connector = 'single_file', path = '/not/read/in/tests', type = 'source', format = 'json');

SELECT id,
    listed(price) OVER (PARTITION BY window, city ORDER BY id) AS so_far,
    listed(price) FILTER (WHERE id <> 4) OVER (PARTITION BY window, city) AS whole,
    listed(price + 1) OVER (PARTITION BY window, city ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around,
    listed(price) OVER (PARTITION BY window, city ORDER BY id ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING) AS before,
    listed(price) OVER (PARTITION BY window, city ORDER BY id RANGE BETWEEN 1 FOLLOWING AND 3 FOLLOWING) AS near,
    listed(price) OVER (PARTITION BY window, city ORDER BY id GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS behind,
    sum(price) OVER (PARTITION BY window, city ORDER BY id) AS total
FROM (SELECT *, tumble(INTERVAL '1 minute') AS window FROM orders);

--# expect final
{"id": 1, "so_far": "10", "whole": "9,10", "around": "11", "before": "", "near": "7", "behind": "7,9,10", "total": 10}
{"id": 3, "so_far": "10", "whole": "9,10", "around": "8,11", "before": "", "near": "7,9", "behind": "7,9", "total": 10}
{"id": 4, "so_far": "7,10", "whole": "9,10", "around": "8,10", "before": "10", "near": "9", "behind": "7,9", "total": 17}
{"id": 6, "so_far": "7,9,10", "whole": "9,10", "around": "8,10", "before": "10", "near": "", "behind": "9", "total": 26}
{"id": 2, "so_far": "20", "whole": "5,20", "around": "6,21", "before": "", "near": "", "behind": "5,20", "total": 20}
{"id": 7, "so_far": "5,20", "whole": "5,20", "around": "6,21", "before": "", "near": "", "behind": "5", "total": 25}
{"id": 5, "so_far": "8", "whole": "8", "around": "9", "before": "", "near": "", "behind": "8", "total": 8}
{"id": 8, "so_far": "6", "whole": "6", "around": "7", "before": "", "near": "", "behind": "6", "total": 6}
{"id": 9, "so_far": "99", "whole": "99", "around": "100", "before": "", "near": "", "behind": "99", "total": 99}
--# end
