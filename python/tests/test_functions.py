"""Functions of SQL that are written in Python: by programs, and in scripts."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Callable, NamedTuple, Optional

import pytest

import thalweg
from processes import PATIENCE, Process, environment, run, until
from thalweg.sql_functions import BodyError, define, function_of
from thalweg.testing import Driver

SQL = Path(__file__).parent / "sql"


class Order(NamedTuple):
    city: Optional[str]
    price: Optional[int]


def answers(query: str, functions: list[Any], records: list[Any], columns: Any = Order) -> list[Any]:
    """What a query over records answers, which calls these functions."""
    got: list[Any] = []
    application = thalweg.Application("sql")
    for function in functions:
        application.function(function)
    frames = application.source("in", connector="tcp", decoder=lambda frame: records[int(frame)])
    timed = frames.with_event_time(lambda _: 0.0)
    timed.rows(columns).sql(query).map(got.append).sink("out", connector="stdout")
    driver = Driver(application)
    for index in range(len(records)):
        driver.frame("in", str(index))
    driver.restart()
    driver.end()
    return got


ORDERS = [Order("Rome", 5), Order(None, 7), Order("Oslo", None), Order("Rome", 1)]


class TestScalar:
    def test_it_is_called_for_each_row_by_its_name(self) -> None:
        @thalweg.udf
        def gross(price: int) -> float:
            return price * 1.5

        rows = answers("SELECT gross(price) AS a, GROSS(price) + gross(2) AS b FROM stream", [gross], ORDERS)
        assert rows == [{"a": 7.5, "b": 10.5}, {"a": 10.5, "b": 13.5}, {"a": None, "b": None}, {"a": 1.5, "b": 4.5}]

    def test_it_is_still_the_function(self) -> None:
        @thalweg.udf(name="other")
        def gross(price: int) -> int:
            return 2 * price

        application = thalweg.Application("a")
        assert gross(4) == 8 and application.function(gross) is gross
        assert application.functions[0].name == "other"

    def test_none_comes_only_where_it_is_asked_for(self) -> None:
        calls: list[Any] = []

        def known(city: str, price: Optional[int]) -> str:
            calls.append((city, price))
            return f"{city} {price}"

        rows = answers("SELECT known(city, price) AS k FROM stream", [known], ORDERS)
        assert [row["k"] for row in rows] == ["Rome 5", None, "Oslo None", "Rome 1"]
        assert calls == [("Rome", 5), ("Oslo", None), ("Rome", 1)], "once for each row, and not while it is planned"

    def test_a_constant_is_not_computed_while_the_query_is_planned(self) -> None:
        calls: list[int] = []

        def noted(number: int) -> int:
            calls.append(number)
            return number

        application = thalweg.Application("a")
        application.function(noted)
        stream = application.source("in", connector="tcp").rows({"value": "BYTEA"})
        stream.sql("SELECT noted(3) AS n FROM stream WHERE noted(4) = 4").discard()
        Driver(application)
        assert calls == []

    def test_a_call_is_not_made_again_above_and_below_a_condition(self) -> None:
        calls: list[int] = []

        def noted(number: int) -> int:
            calls.append(number)
            return number

        query = "SELECT n + 1 AS a, n AS b FROM (SELECT noted(price) AS n FROM stream) WHERE n > 2"
        assert answers(query, [noted], ORDERS[:2]) == [{"a": 6, "b": 5}, {"a": 8, "b": 7}]
        assert calls == [5, 7]

    def test_it_may_have_no_arguments(self) -> None:
        assert answers("SELECT seven() AS n FROM stream", [seven], ORDERS[:2]) == [{"n": 7}] * 2

    def test_any_callable_with_hints(self) -> None:
        class Scale:
            def __init__(self, by: int) -> None:
                self.by = by

            def __call__(self, price: int) -> int:
                return self.by * price

            def scaled(self, price: int) -> int:
                return self.by * price

        application = thalweg.Application("a")
        application.function(Scale(3), name="triple")
        application.function(Scale(2).scaled)
        assert [function.name for function in application.functions] == ["triple", "scaled"]
        assert application.functions[0].arguments == [("price", "BIGINT", False)]

    @pytest.mark.parametrize(
        ("hint", "sql", "value"),
        [
            (bool, "BOOLEAN", True),
            (int, "BIGINT", -(2**63)),
            (float, "DOUBLE", 0.1),
            (str, "TEXT", "ü\x00'"),
            (bytes, "BYTEA", b"\x00\xff"),
            (date, "DATE", date(9999, 12, 31)),
            (time, "TIME", time(23, 59, 59, 999999)),
            (datetime, "TIMESTAMP", datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)),
            (Decimal, "DECIMAL(38, 10)", Decimal("-1.5000000000")),
            (timedelta, "INTERVAL", timedelta(days=-1, microseconds=7)),
            (dict[str, list[int]], "MAP(TEXT, BIGINT[])", {"a": [1, 2], "b": []}),
            (list[int], "BIGINT[]", [1, 2]),
            (Order, 'STRUCT<"city" TEXT, "price" BIGINT>', {"city": "Rome", "price": 3}),
            (Annotated[int, "SMALLINT"], "SMALLINT", 7),
        ],
        ids=str,
    )
    def test_each_type_comes_and_goes(self, hint: Any, sql: str, value: Any) -> None:
        seen: list[Any] = []

        def same(value: Any) -> Any:
            seen.append(value)
            return value

        same.__annotations__ = {"value": Optional[hint], "return": Optional[hint]}
        assert function_of(same).arguments == [("value", sql, True)]
        assert function_of(same).returns == sql
        rows = answers("SELECT same(v) AS v FROM stream", [same], [{"v": value}, {"v": None}], {"v": sql})
        assert rows == [{"v": value}, {"v": None}]
        assert seen == [value, None]

    @pytest.mark.parametrize(
        ("returns", "given", "words"),
        [
            (int, "x", "function 'wrong' gave 'x' of type 'str', not BIGINT"),
            (int, True, "function 'wrong' gave True of type 'bool', not BIGINT"),
            (int, 2**63, "of type 'int', not BIGINT"),
            (int, None, "function 'wrong' gave None, and its result is BIGINT that is never NULL"),
            (str, b"x", "function 'wrong' gave b'x' of type 'bytes', not TEXT"),
            (list[int], [1, "x"], "of type 'list', not BIGINT[]"),
            (timedelta, 5, "gave 5 of type 'int', not INTERVAL"),
            (dict[str, int], {"a": "b"}, "of type 'dict', not MAP(TEXT, BIGINT)"),
            (datetime, datetime(2024, 1, 1), "of type 'datetime', not TIMESTAMP"),
        ],
        ids=str,
    )
    def test_a_result_of_another_type_is_told(self, returns: Any, given: Any, words: str) -> None:
        def wrong(price: int) -> Any:
            return given

        wrong.__annotations__["return"] = returns
        with pytest.raises(thalweg.EngineError) as failed:
            answers("SELECT wrong(price) AS w FROM stream", [wrong], ORDERS[:1])
        assert failed.value.code == "function-failed" and words in failed.value.what, failed.value
        assert "the arguments were (5,)" in str(failed.value)

    def test_lengths_and_maps_of_sql_are_cast_to_what_it_takes(self) -> None:
        def shown(length: timedelta, counts: dict[str, float]) -> str:
            return f"{length} {counts}"

        query = "SELECT shown(to_timestamp(90) - to_timestamp(price), map([city], [price])) AS s FROM stream WHERE price = 5"
        assert answers(query, [shown], ORDERS) == [{"s": "0:01:25 {'Rome': 5.0}"}]
        with pytest.raises(thalweg.EngineError, match=r"takes \(length INTERVAL, counts MAP\(TEXT, DOUBLE\)\)") as refused:
            answers("SELECT shown(INTERVAL '1 day', map([1], [price])) AS s FROM stream", [shown], ORDERS)
        assert "called with (INTERVAL, MAP(BIGINT, BIGINT))" in str(refused.value)
        with pytest.raises(thalweg.EngineError, match="an interval of 1 months has no length in days"):
            answers("SELECT shown(INTERVAL '1 month', map([city], [1.5])) AS s FROM stream", [shown], ORDERS)

    def test_an_exception_is_told_with_traceback_and_arguments(self) -> None:
        def inverted(price: int) -> float:
            return 1 / (price - 5)

        with pytest.raises(thalweg.EngineError) as failed:
            answers("SELECT inverted(price) AS w FROM stream", [inverted], ORDERS)
        assert failed.value.code == "function-failed"
        assert failed.value.what == "function 'inverted' raised ZeroDivisionError: division by zero"
        assert "return 1 / (price - 5)" in failed.value.why and "the arguments were (5,)" in failed.value.why


def seven() -> int:
    return 7


class TestBatch:
    def test_it_is_called_with_columns_without_nulls(self) -> None:
        pc = pytest.importorskip("pyarrow.compute")
        sizes: list[int] = []

        @thalweg.udf(batch=True, arguments=[int, "BIGINT"], returns="DOUBLE NOT NULL")
        def halved(a: Any, b: Any) -> Any:
            sizes.append(len(a))
            assert a.null_count == 0 and b.null_count == 0
            return pc.divide(pc.cast(pc.add(a, b), "double"), 2.0)

        rows = answers("SELECT halved(price, 1) AS m FROM stream", [halved], ORDERS)
        assert [row["m"] for row in rows] == [3.0, 4.0, None, 1.0]
        assert sum(sizes) == 3

    def test_a_column_with_nulls_where_they_are_asked_for(self) -> None:
        pc = pytest.importorskip("pyarrow.compute")

        @thalweg.udf(batch=True, arguments=[Optional[int]], returns=int)
        def filled(price: Any) -> Any:
            return pc.fill_null(price, 0)

        rows = answers("SELECT filled(price) AS p FROM stream", [filled], ORDERS)
        assert [row["p"] for row in rows] == [5, 7, 0, 1]

    @pytest.mark.parametrize(
        ("give", "words"),
        [
            (lambda price: 3, "function 'wrong' gave no column"),
            (lambda price: price[:0], "gave 0 values for 1 rows"),
            (lambda price: ["x"], "gave a column that is no BIGINT"),
            (lambda price: [None], "gave None, and its result is BIGINT that is never NULL"),
        ],
        ids=["no column", "too few", "another type", "nulls"],
    )
    def test_what_is_no_such_column_is_told(self, give: Callable[[Any], Any], words: str) -> None:
        pytest.importorskip("pyarrow")
        wrong = thalweg.udf(name="wrong", batch=True, arguments=[int], returns=int)(lambda price: give(price))
        with pytest.raises(thalweg.EngineError) as failed:
            answers("SELECT wrong(price) AS w FROM stream", [wrong], ORDERS[:1])
        assert failed.value.code == "function-failed" and words in failed.value.what, failed.value


class Seen:
    """An accumulator that only pickle can write down."""

    def __init__(self) -> None:
        self.prices: list[int] = []


@thalweg.udaf
class listed:
    def initial(self) -> Seen:
        return Seen()

    def update(self, price: int, seen: Seen) -> Seen:
        seen.prices.append(price)
        return seen

    def combine(self, seen: Seen, other: Seen) -> Seen:
        seen.prices += other.prices
        return seen

    def output(self, seen: Seen) -> Optional[str]:
        return ",".join(map(str, sorted(seen.prices))) or None


class TestAggregate:
    def test_rows_are_aggregated_by_window_across_a_restart(self) -> None:
        query = "SELECT city, listed(price) AS p FROM stream GROUP BY city, tumble(INTERVAL '1 minute')"
        rows = answers(query, [listed], ORDERS)
        assert sorted((row["city"] or "", row["p"]) for row in rows) == [("", "7"), ("Oslo", None), ("Rome", "1,5")]

    def test_a_method_that_raises_is_told(self) -> None:
        @thalweg.udaf(name="broken")
        class Broken(listed):
            def output(self, seen: Seen) -> str:
                raise ValueError(f"{seen.prices}")

        query = "SELECT broken(price) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')"
        with pytest.raises(thalweg.EngineError, match=r"'output' of function 'broken' raised ValueError: \[5\]"):
            answers(query, [Broken], ORDERS[:1])

    def test_a_frame_that_grows_is_updated_and_any_other_is_aggregated_anew(self) -> None:
        calls: list[str] = []

        @thalweg.udaf(name="total")
        class Total:
            def initial(self) -> int:
                calls.append("initial")
                return 0

            def update(self, price: int, total: int) -> int:
                calls.append(f"{price}")
                return total + price

            def combine(self, total: int, other: int) -> int:
                raise AssertionError("the rows of a partition are in one place")

            def output(self, total: int) -> int:
                calls.append("output")
                return total

        def over(frame: str) -> list[int]:
            calls.clear()
            query = f"SELECT total(price) OVER (PARTITION BY w ORDER BY price {frame}) AS t FROM (SELECT *, tumble(INTERVAL '1 minute') AS w FROM stream)"
            return [row["t"] for row in answers(query, [Total], [Order("a", price) for price in (3, 1, 2)])]

        assert over("") == [1, 3, 6]
        assert calls == ["initial", "1", "output", "2", "output", "3", "output"]
        assert over("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW") == [1, 3, 5]
        assert calls == ["initial", "1", "output", "initial", "1", "2", "output", "initial", "2", "3", "output"]
        assert over("ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING") == [0, 1, 3]
        assert calls[:2] == ["initial", "output"], "of no rows too"
        assert over("ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING") == [6, 6, 6]
        assert calls == ["initial", "1", "2", "3", "output"]

    def test_a_method_that_raises_over_a_frame_is_told(self) -> None:
        @thalweg.udaf(name="broken")
        class Broken(listed):
            def output(self, seen: Seen) -> str:
                raise ValueError(f"{seen.prices}")

        for frame in ("", "ROWS 1 PRECEDING"):
            query = f"SELECT broken(price) OVER (PARTITION BY w ORDER BY price {frame}) AS p FROM (SELECT *, tumble(INTERVAL '1 minute') AS w FROM stream)"
            with pytest.raises(thalweg.EngineError, match=r"'output' of function 'broken' raised ValueError: \[5\]"):
                answers(query, [Broken], ORDERS[:1])

    def test_an_update_that_gives_nothing_is_told(self) -> None:
        class Lost(listed):
            def update(self, price: int, seen: Seen) -> Any:
                seen.prices.append(price)

        query = "SELECT lost(price) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')"
        with pytest.raises(thalweg.EngineError, match="'update' of function 'lost' gave None, and not the accumulator"):
            answers(query, [Lost], ORDERS[:1])

    def test_an_accumulator_that_cannot_be_kept_is_told(self) -> None:
        class Kept(listed):
            def initial(self) -> Any:
                return lambda: None

            def update(self, price: int, seen: Any) -> Any:
                return seen

        query = "SELECT kept(price) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')"
        with pytest.raises(thalweg.EngineError, match="pickle|local object"):
            answers(query, [Kept], ORDERS[:1])

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("SELECT listed(DISTINCT price) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')", "not-supported"),
            ("SELECT listed(price ORDER BY price) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')", "not-supported"),
            (
                "SELECT listed(DISTINCT price) OVER (PARTITION BY w) AS p FROM "
                "(SELECT *, tumble(INTERVAL '1 minute') AS w FROM stream)",
                "not-supported",
            ),
            ("SELECT listed(price) OVER (PARTITION BY city) AS p FROM stream", "over-without-window"),
            ("SELECT price AS p FROM stream WHERE listed(price) = 'x'", "invalid-aggregate"),
            ("SELECT listed(city) AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')", "type-mismatch"),
            ("SELECT listed() AS p FROM stream GROUP BY tumble(INTERVAL '1 minute')", "type-mismatch"),
        ],
    )
    def test_where_it_has_no_meaning_is_told(self, query: str, code: str) -> None:
        with pytest.raises(thalweg.EngineError) as refused:
            answers(query, [listed], ORDERS)
        assert refused.value.code == code, refused.value


class TestDeclaration:
    @pytest.mark.parametrize(
        ("function", "words"),
        [
            (lambda price: price, "is no name of a function"),
            (thalweg.udf(name="f")(lambda price: price), "does not say what its argument 'price' is: write 'price: float'"),
            (thalweg.udf(name="f", arguments=[int])(lambda price: price), "does not say what it gives: write '-> float'"),
            (thalweg.udf(name="f", arguments=[int, int])(lambda price: price), "has 1 arguments, and 'arguments' has 2 types"),
            (thalweg.udf(name="f", arguments=[complex], returns=int)(lambda price: price), "which is no type of SQL"),
            (thalweg.udf(name="f", arguments=[], returns=int)(lambda *prices: 1), "has '*prices'"),
            (thalweg.udf(name="f", batch=True)(lambda price: price), "write 'arguments=[float]'"),
            (thalweg.computation(name="f")(lambda price: price), "is a computation"),
            (7, "SQL calls a function, or a class"),
            (Order, "an aggregation has the methods"),
        ],
    )
    def test_what_cannot_be_called_is_refused_where_it_is_declared(self, function: Any, words: str) -> None:
        with pytest.raises(TypeError) as refused:
            thalweg.Application("a").function(function)
        assert words in str(refused.value)

    def test_what_waits_or_yields_is_refused(self) -> None:
        async def later(price: int) -> int:
            return price

        def many(price: int) -> Any:
            yield price

        for function, words in ((later, "'async'"), (many, "a generator")):
            with pytest.raises(TypeError, match=words):
                thalweg.Application("a").function(function)

    def test_a_name_is_given_once(self) -> None:
        application = thalweg.Application("a")
        application.function(seven)
        with pytest.raises(ValueError, match="there is a function 'seven' already"):
            application.function(seven)
        with pytest.raises(TypeError, match="decorated twice"):
            thalweg.udf(thalweg.udf(lambda: 7))

    def test_a_name_of_the_engine_is_refused(self) -> None:
        def upper(text: str) -> str:
            return text

        with pytest.raises(thalweg.EngineError, match="there is a function 'upper' already"):
            answers("SELECT upper(city) AS u FROM stream", [upper], ORDERS)

    def test_a_type_of_sql_that_is_none_is_told(self) -> None:
        wrong = thalweg.udf(name="wrong", arguments=["BIGNT"], returns=int)(lambda price: price)
        with pytest.raises(thalweg.EngineError, match="BIGINT"):
            answers("SELECT wrong(price) AS w FROM stream", [wrong], ORDERS)

    def test_several_queries_share_functions_and_have_their_own(self) -> None:
        got: list[Any] = []
        application = thalweg.Application("two")
        application.function(seven)
        rows = application.source("in", connector="tcp").map(lambda _: {"n": 1}).rows({"n": "BIGINT"})
        for factor in (2, 3):
            body = f"CREATE FUNCTION scaled(n BIGINT) RETURNS BIGINT LANGUAGE python AS 'def scaled(n): return {factor} * n';"
            stream = application.sql(f"{body} SELECT scaled(n) + seven() AS n FROM rows", rows=rows)
            stream.map(lambda row: got.append(row["n"])).sink(f"out {factor}", connector="stdout")
        Driver(application).frame("in", "")
        assert sorted(got) == [9, 10]

    def test_aggregates_of_one_name_in_several_queries_keep_their_own_states(self) -> None:
        body = """
            CREATE FUNCTION scaled(n BIGINT) RETURNS BIGINT LANGUAGE python AS $$
                class Sum:
                    of = 0

                class scaled:
                    def initial(self): return Sum()
                    def update(self, n, sum):
                        sum.of += FACTOR * n
                        return sum
                    def combine(self, sum, other):
                        sum.of += other.of
                        return sum
                    def output(self, sum): return sum.of
            $$;
            SELECT scaled(n) AS n FROM rows GROUP BY tumble(INTERVAL '1 second')
        """
        got: list[int] = []
        application = thalweg.Application("two")
        numbers = application.source("in", connector="tcp", decoder=lambda frame: {"n": int(frame)})
        rows = numbers.with_event_time(lambda _: 0.0).rows({"n": "BIGINT"})
        for factor in (2, 3):
            stream = application.sql(body.replace("FACTOR", str(factor)), rows=rows)
            stream.map(lambda row: got.append(row["n"])).sink(f"out {factor}", connector="stdout")
        driver = Driver(application)
        for number in (1, 2):
            driver.frame("in", str(number))
            driver.restart()
        driver.end()
        assert sorted(got) == [6, 9]

    def test_a_script_replaces_a_function_of_the_program_for_itself(self) -> None:
        got: list[Any] = []
        application = thalweg.Application("two")
        application.function(seven)
        rows = application.source("in", connector="tcp").map(lambda _: {"n": 1}).rows({"n": "BIGINT"})
        eight = "CREATE OR REPLACE FUNCTION seven() RETURNS TEXT LANGUAGE python AS 'def seven(): return str(8)'"
        for script in (f"CREATE VIEW above AS SELECT seven() AS n FROM rows; {eight}; SELECT n, seven() AS m FROM above", "SELECT seven() AS n FROM rows"):
            application.sql(script, rows=rows).map(got.append).sink(f"out {len(script)}", connector="stdout")
        Driver(application).frame("in", "")
        assert sorted(got, key=len) == [{"n": 7}, {"n": 7, "m": "8"}]
        application.sql(eight.replace("OR REPLACE ", "") + "; SELECT seven() AS n FROM rows", rows=rows).discard()
        with pytest.raises(thalweg.EngineError, match="there is a function 'seven' already") as refused:
            Driver(application)
        assert "CREATE OR REPLACE FUNCTION" in str(refused.value)


BROKEN = [
    ("def f(x:\n    return x", "was never closed"),
    ("def g(x):\n    return x", "it defines no 'f': write 'def f(x):'"),
    ("f = 3", "'f' is no function, but 3"),
    ("def f(x): return x\nF = f", "it defines 'f' 2 times, in letters of different case"),
    ("def f(x, y): return x", "'f' cannot be called with (x), as it is declared: missing a required argument: 'y'"),
    ("def f(): return 1", "'f' cannot be called with (x), as it is declared: too many positional arguments"),
    ("import no_such_module\ndef f(x): return x", "No module named 'no_such_module'"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("async def f(x): return x", "'f' is 'async', and SQL does not wait: write 'def'"),
    ("class f:\n    def initial(self): return 0", "has no 'update'"),
    ("import thalweg\n@thalweg.decoder\ndef f(x): return x", "'f' is a decoder"),
    ("", "it defines no 'f'"),
]


class TestScript:
    @pytest.mark.parametrize(("body", "words"), BROKEN, ids=range(len(BROKEN)))
    def test_a_broken_body_is_told(self, body: str, words: str) -> None:
        with pytest.raises(BodyError) as refused:
            define("f", ["x"], body, "f")
        assert words in str(refused.value)
        assert "sql_functions.py" not in str(refused.value), "the lines of the package say nothing to its user"

    def test_a_body_is_run_once_and_remembered(self) -> None:
        body = "import itertools\nnext_one = itertools.count()\ndef counted():\n    return next(next_one)"
        (_, first), (_, second) = define("counted", [], body, "counted"), define("counted", [], body, "counted")
        assert first is second
        assert define("counted", [], body + " + 1", "counted")[1] is not first

    def test_a_quoted_name_keeps_its_case(self) -> None:
        body = "def Foo(x): return 1\ndef foo(x): return 2"
        assert define("Foo", ["x"], body, "Foo")[1](0) == 1
        with pytest.raises(BodyError, match="it defines no 'FOO'"):
            define("FOO", ["x"], body, "FOO")
        assert answers(
            f'CREATE FUNCTION "Foo"(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$\n{body}\n$$;\n'
            'CREATE FUNCTION bar(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$\ndef Bar(x): return 3\n$$;\n'
            'SELECT "Foo"(1) AS foo, BAR(1) AS bar FROM stream',
            [],
            [Order("Rome", 1)],
        ) == [{"foo": 1, "bar": 3}]

    def test_what_a_broken_body_leaves_behind(self) -> None:
        define("f", ["x"], "def f(x): return x", "f")
        before = sys.modules["__thalweg_function_f__"]
        with pytest.raises(BodyError):
            define("f", ["x"], "1 / 0", "f")
        assert sys.modules["__thalweg_function_f__"] is before

    def test_the_command_tells_where(self, tmp_path: Path) -> None:
        script = tmp_path / "broken.sql"
        script.write_text(
            "CREATE TABLE t (id BIGINT) WITH (connector = 'single_file', path = 't', type = 'source', format = 'json');\n"
            "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$\n1 / 0\n$$;\nSELECT f(id) FROM t;\n"
        )
        for word in ("run", "check", "explain"):
            code, said, err = run("-m", "thalweg", word, script)
            assert (code, said) == (3, "")
            assert "error[invalid-function]: the body of 'f' cannot be used" in err
            assert "broken.sql:2:63" in err and "ZeroDivisionError: division by zero" in err

    def test_a_script_runs_and_is_explained(self, tmp_path: Path) -> None:
        script = tmp_path / "gross.sql"
        script.write_text(
            f"CREATE TABLE t (id BIGINT, price DOUBLE) WITH (connector = 'single_file', path = '{tmp_path}/in.json', "
            "type = 'source', format = 'json');\n"
            "CREATE FUNCTION gross(price DOUBLE) RETURNS DOUBLE LANGUAGE python AS $$\n"
            "    def gross(price):\n        return price * 1.5\n$$;\nSELECT id, gross(price) AS gross FROM t;\n"
        )
        (tmp_path / "in.json").write_text("".join(json.dumps({"id": i, "price": i}) + "\n" for i in range(3)))
        code, said, err = run("-m", "thalweg", "run", script)
        assert (code, err) == (0, "")
        assert [json.loads(line) for line in said.splitlines()] == [{"id": i, "gross": i * 1.5} for i in range(3)]
        code, said, _ = run("-m", "thalweg", "explain", script)
        assert code == 0 and "gross(price) as gross" in said

    def test_pickles_are_refused_where_the_flag_says_so(self, tmp_path: Path) -> None:
        script = tmp_path / "sums.sql"
        script.write_text(
            "CREATE TABLE n WITH (connector = 'impulse', event_rate = '1000', message_count = '10');\n"
            "CREATE FUNCTION counted(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$\n"
            "class counted:\n"
            "    def initial(self): return []\n"
            "    def update(self, x, seen): return [*seen, x]\n"
            "    def combine(self, a, b): return a + b\n"
            "    def output(self, seen): return len(seen)\n$$;\n"
            "SELECT counted(counter) AS n FROM n;\n"
        )
        code, said, err = run("-m", "thalweg", "run", script)
        assert (code, err) == (0, "") and json.loads(said.splitlines()[-1])["after"] == {"n": 10}
        code, _, err = run("-m", "thalweg", "run", "--no-pickle", script)
        assert code == 1
        assert "'update' of function 'counted' raised TypeError: a 'list' can only be pickled" in err

    def test_state_of_a_script_is_found_again(self, tmp_path: Path) -> None:
        """A job with the accumulators of a class of its body is stopped, and goes on at another parallelism."""
        script = tmp_path / "sums.sql"
        script.write_text(
            "CREATE TABLE n WITH (connector = 'impulse', event_rate = '20000', message_count = '60000');\n"
            "CREATE FUNCTION summed(x BIGINT) RETURNS BIGINT LANGUAGE python AS $$\n"
            "class Sum:\n    def __init__(self): self.of = 0\n"
            "class summed:\n"
            "    def initial(self): return Sum()\n"
            "    def update(self, x, sum):\n        sum.of += x\n        return sum\n"
            "    def combine(self, a, b):\n        a.of += b.of\n        return a\n"
            "    def output(self, sum): return sum.of\n$$;\n"
            f"CREATE TABLE out (k BIGINT, s BIGINT, n BIGINT) WITH (connector = 'single_file', path = '{tmp_path}/out.json', "
            "type = 'sink', format = 'json');\n"
            "INSERT INTO out SELECT counter % 4, summed(counter), count(*) FROM n "
            "GROUP BY counter % 4, tumble(INTERVAL '1 day');\n"
        )
        complete = tmp_path / "state" / "sums" / "complete"
        command = ["-m", "thalweg", "run", script, "--state-dir", tmp_path / "state", "--set", "checkpoint-interval=50ms"]
        with Process(*command) as process:
            until(lambda: any(complete.glob("[0-9]*")), "a first checkpoint")
            code, _, err = process.interrupted()
        assert code == 130, err
        code, _, err = run(*command, "--parallelism", "3")
        assert code == 0, err
        rows = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
        assert sorted((row["k"], row["s"], row["n"]) for row in rows) == [
            (k, sum(range(k, 60_000, 4)), 15_000) for k in range(4)
        ]


@pytest.mark.parametrize("file", sorted(SQL.glob("*.sql")), ids=lambda file: file.stem)
def test_all_worlds_give_one_answer(file: Path) -> None:
    if file.stem == "batches":
        pytest.importorskip("pyarrow")
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "test", str(file)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_test_file_that_is_wrong_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "windows.sql"
    file.write_text((SQL / "windows.sql").read_text().replace('"prices": "7,10"', '"prices": "7,11"'))
    code, said, _ = run("-m", "thalweg", "test", file)
    assert code == 1 and "FAILED" in said
