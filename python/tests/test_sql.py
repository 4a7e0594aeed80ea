"""SQL within programs: records as rows, rows as records."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Callable, NamedTuple, Optional, TypedDict

import pytest

import thalweg
from processes import run
from thalweg.testing import Driver


def driver_of(query: str, columns: Any, make: Callable[[Any], Any], got: list[Any]) -> Driver:
    """Sends `make(frame)` through a query, and keeps what it answers in `got`."""
    application = thalweg.Application("sql")
    records = application.source("in", connector="tcp", decoder=lambda frame: make(frame.decode()))
    results = records.rows(columns).sql(query)
    results.map(got.append).sink("out", connector="stdout")
    return Driver(application)


def answers(query: str, columns: Any, records: list[Any]) -> list[Any]:
    got: list[Any] = []
    driver = driver_of(query, columns, lambda frame: records[int(frame)], got)
    for index in range(len(records)):
        driver.frame("in", str(index))
    driver.end()
    return got


NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)

VALUES = [
    ("BOOLEAN", True),
    ("BOOLEAN", False),
    ("TINYINT", -128),
    ("SMALLINT", 32767),
    ("INT", -(2**31)),
    ("BIGINT", 2**63 - 1),
    ("BIGINT UNSIGNED", 2**64 - 1),
    ("FLOAT", 0.5),
    ("DOUBLE", 0.1),
    ("DOUBLE", float("inf")),
    ("DECIMAL(10, 2)", Decimal("-12345678.90")),
    ("DECIMAL(38, 0)", Decimal(10**37)),
    ("DECIMAL(4, 3)", Decimal("0.001")),
    ("TEXT", "ü\x00'"),
    ("TEXT", ""),
    ("BYTEA", b"\x00\xff"),
    ("DATE", date(1969, 12, 31)),
    ("DATE", date(9999, 12, 31)),
    ("TIME", time(23, 59, 59, 999999)),
    ("TIMESTAMP", NOON),
    ("TIMESTAMP(3)", NOON.replace(microsecond=123000)),
    ("TIMESTAMP(0)", datetime(1901, 1, 1, tzinfo=timezone.utc)),
    ("TIMESTAMP(6)", datetime(2250, 7, 6, 23, 28, 9, 301242, tzinfo=timezone.utc)),
    ("INTERVAL", timedelta(0)),
    ("INTERVAL", timedelta(days=400, hours=23, microseconds=1)),
    ("INTERVAL", -timedelta(hours=1, microseconds=1)),
    ("INTERVAL", timedelta.max),
    ("INTERVAL", timedelta.min),
    ("MAP(TEXT, BIGINT)", {"a": 1, "": None}),
    ("MAP(TEXT, BIGINT)", {}),
    ("MAP(DATE, MAP(BIGINT, INTERVAL[]))", {date(2024, 2, 29): {1: [timedelta(1)], 2: None}, date(2024, 3, 1): None}),
    ("STRUCT<a MAP(BOOLEAN, STRUCT<b BYTEA>)>[]", [{"a": {True: {"b": b"x"}, False: None}}, {"a": None}, None]),
    ("BIGINT[]", [1, None, 3]),
    ("TEXT[][]", [["a"], [], None]),
    ("STRUCT<a BIGINT, b TEXT>", {"a": 1, "b": None}),
    ("STRUCT<a STRUCT<b DOUBLE[]>>", {"a": {"b": [0.5]}}),
]


@pytest.mark.parametrize(("sql", "value"), VALUES, ids=[f"{sql} {value!r}" for sql, value in VALUES])
def test_values_come_back_as_they_were(sql: str, value: Any) -> None:
    records = [{"v": value}, {"v": None}, {}, {"v": value, "more": 1}]
    got = answers("SELECT v FROM stream", {"v": sql}, records)
    assert got == [{"v": value}, {"v": None}, {"v": None}, {"v": value}]
    assert type(got[0]["v"]) is type(value)


WRONG = [
    ("BIGINT", "5"),
    ("BIGINT", 1.0),
    ("BIGINT", True),
    ("BIGINT", 2**63),
    ("INT", 2**31),
    ("BIGINT UNSIGNED", -1),
    ("DOUBLE", "0.5"),
    ("DOUBLE", False),
    ("DOUBLE", 2**53 + 1),
    ("FLOAT", 1e300),
    ("BOOLEAN", 1),
    ("TEXT", b"a"),
    ("TEXT", 5),
    ("BYTEA", "a"),
    ("DECIMAL(4, 2)", 0.5),
    ("DECIMAL(4, 2)", Decimal("NaN")),
    ("DATE", NOON),
    ("TIME", "12:00"),
    ("TIMESTAMP", datetime(2024, 1, 1)),
    ("TIMESTAMP", "2024-01-01"),
    ("INTERVAL", 5),
    ("INTERVAL", "1 day"),
    ("INTERVAL", time(1)),
    ("MAP(TEXT, BIGINT)", [("a", 1)]),
    ("MAP(TEXT, BIGINT)", {"a": "b"}),
    ("MAP(TEXT, BIGINT)", {1: 1}),
    ("MAP(TEXT, BIGINT)", {None: 1}),
    ("BIGINT[]", 5),
    ("BIGINT[]", "ab"),
    ("BIGINT[]", [1, "x"]),
    ("STRUCT<a BIGINT>", {"a": "x"}),
    ("STRUCT<a BIGINT>", 5),
]


def failing(columns: Any, record: Any) -> str:
    driver = driver_of("SELECT 1 AS one FROM stream", columns, lambda _: record, [])
    with pytest.raises(thalweg.EngineError) as raised:
        driver.frame("in", "x")
    assert raised.value.code == "bad-record", str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(("sql", "value"), WRONG, ids=[f"{sql} {value!r}" for sql, value in WRONG])
def test_what_is_of_another_type_is_refused(sql: str, value: Any) -> None:
    text = failing({"id": "BIGINT", "v": sql}, {"id": 7, "v": value})
    assert f"the column 'v' is {sql}, and the record has {value!r} of type '{type(value).__name__}'" in text
    assert "the record was {'id': 7, 'v': " in text


def test_a_record_that_is_refused_leaves_nothing_behind() -> None:
    columns = {
        "a": "BIGINT",
        "l": "BIGINT[]",
        "s": "STRUCT<x BIGINT, y MAP(TEXT, BIGINT[])>",
        "b": "TEXT NOT NULL",
    }
    whole = [
        {"a": n, "l": [n, n + 1], "s": {"x": n, "y": {"k": [n]}}, "b": str(n)} for n in range(3)
    ]
    wrong = [
        whole[0] | {"a": "x"},
        whole[0] | {"l": [7, 8, "x"]},
        whole[0] | {"s": {"x": 7, "y": "x"}},
        whole[0] | {"s": {"x": 7, "y": {"j": [1], "k": [1, "x"]}}},
        whole[0] | {"s": {"x": 7, "y": {"j": [1], 5: [1]}}},
        whole[0] | {"b": None},
    ]
    got: list[Any] = []
    records = [whole[0], *wrong, whole[1], *wrong, *wrong, whole[2]]
    driver = driver_of("SELECT * FROM stream", columns, lambda frame: records[int(frame)], got)
    for index, record in enumerate(records):
        if record in whole:
            driver.frame("in", str(index))
        else:
            with pytest.raises(thalweg.EngineError, match="bad-record"):
                driver.frame("in", str(index))
    assert got == whole

    together: list[Any] = []
    application = thalweg.Application("together")
    several = application.source("in", connector="tcp", decoder=lambda frame: int(frame)).flat_map(
        lambda n: [whole[0], wrong[n], whole[1]] if n < len(wrong) else [whole[2]]
    )
    several.sql("SELECT * FROM stream", columns).map(together.append).discard()
    for n in range(len(wrong)):
        driver = Driver(application)
        with pytest.raises(thalweg.EngineError, match="bad-record"):
            driver.frame("in", str(n))
        driver.frame("in", str(len(wrong)))
        assert together == [whole[0], whole[2]], "what stands before it is whole"
        together.clear()


def test_decimals_that_do_not_fit_are_refused() -> None:
    assert "more than 2 digits behind the point" in failing({"v": "DECIMAL(4, 2)"}, {"v": Decimal("0.125")})
    assert "more than 4 digits" in failing({"v": "DECIMAL(4, 2)"}, {"v": Decimal("123.45")})
    assert "too many digits" in failing({"v": "DECIMAL(4, 2)"}, {"v": Decimal("1e999999")})


def test_columns_that_are_not_null_are_there() -> None:
    assert "the column 'v' is BIGINT NOT NULL, and the record has None" in failing({"v": "BIGINT NOT NULL"}, {"v": None})
    assert "the record has no 'v'" in failing({"v": "BIGINT NOT NULL"}, {"w": 1})
    assert "the record has no 'v'" in failing({"v": "BIGINT"}, object())


def test_decimals_are_whole_numbers_too_and_times_are_seconds_too() -> None:
    assert answers("SELECT v FROM stream", {"v": "DECIMAL(6, 2)"}, [{"v": 5}]) == [{"v": Decimal("5.00")}]
    seconds = answers("SELECT v FROM stream", {"v": "TIMESTAMP"}, [{"v": 0}, {"v": 1.5}])
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert [row["v"] - epoch for row in seconds] == [timedelta(0), timedelta(seconds=1.5)]


@dataclass
class Point:
    x: float
    y: float


@dataclass
class Order:
    user: str
    amount: int
    at: datetime
    place: Optional[Point] = None
    tags: list[str] | None = None
    price: Annotated[Decimal, "DECIMAL(10, 2)"] = Decimal(0)


@dataclass
class Odd:
    userId: int
    inner: Optional["Inner"]


class Inner(TypedDict):
    theKey: str
    order: float


class Pair(NamedTuple):
    left: int
    right: int | None


class Entry(TypedDict):
    key: str
    value: float


def test_classes_with_type_hints_are_columns() -> None:
    orders = [
        Order("ann", 1, NOON),
        Order("bob", 2, NOON, Point(0.5, 1.5), ["a"], Decimal("9.99")),
    ]
    got = answers("SELECT * FROM stream", Order, orders)
    assert got == [
        {"user": "ann", "amount": 1, "at": NOON, "place": None, "tags": None, "price": Decimal("0.00")},
        {"user": "bob", "amount": 2, "at": NOON, "place": {"x": 0.5, "y": 1.5}, "tags": ["a"], "price": Decimal("9.99")},
    ]
    assert list(got[0]) == ["user", "amount", "at", "place", "tags", "price"]
    assert answers("SELECT * FROM stream", Pair, [Pair(1, None)]) == [{"left": 1, "right": None}]
    assert answers("SELECT value FROM stream", Entry, [Entry(key="a", value=0.5)]) == [{"value": 0.5}]
    assert "is BIGINT NOT NULL, and the record has None" in failing(Pair, Pair(None, None))  # type: ignore[arg-type]


def test_names_keep_their_letters() -> None:
    got = answers('SELECT * FROM stream WHERE "userId" = 1', Odd, [Odd(1, {"theKey": "a", "order": 0.5}), Odd(2, None)])
    assert got == [{"userId": 1, "inner": {"theKey": "a", "order": 0.5}}]


def test_sql_computes() -> None:
    records = [{"user": "ann", "amount": 5.0}, {"user": "bob", "amount": 1.0}, {"user": "ann", "amount": 2.5}]
    query = "SELECT upper(user) AS who, amount * 2 AS twice FROM stream WHERE amount > 2"
    expected = [{"who": "ANN", "twice": 10.0}, {"who": "ANN", "twice": 5.0}]
    assert answers(query, {"user": "TEXT", "amount": "DOUBLE"}, records) == expected


def test_windows_in_sql_have_the_event_time_of_the_records() -> None:
    application = thalweg.Application("windows")
    orders = application.source("orders", connector="tcp", decoder=thalweg.decode_json)
    timed = orders.with_event_time(lambda order: order["at"])
    columns = {"user": "TEXT", "amount": "BIGINT"}
    query = """
        SELECT user, tumble(interval '10 seconds') AS window, sum(amount) AS total
        FROM stream GROUP BY user, window
    """
    got: list[Any] = []
    timed.sql(query, columns).map(got.append).sink("out", connector="stdout")
    driver = Driver(application)
    driver.frame("orders", '{"user": "ann", "amount": 1, "at": 1}')
    driver.frame("orders", '{"user": "ann", "amount": 2, "at": 9}')
    driver.restart()
    driver.frame("orders", '{"user": "ann", "amount": 4, "at": 12}')
    driver.end()
    window = {"start": datetime(1970, 1, 1, tzinfo=timezone.utc), "end": datetime(1970, 1, 1, 0, 0, 10, tzinfo=timezone.utc)}
    assert got[0] == {"user": "ann", "window": window, "total": 3}
    assert [row["total"] for row in got] == [3, 4]


def test_a_query_reads_several_streams_and_goes_on() -> None:
    application = thalweg.Application("several")
    left = application.source("left", connector="tcp", decoder=thalweg.decode_json)
    right = application.source("right", connector="tcp", decoder=thalweg.decode_json)
    orders, more = left.rows({"n": "BIGINT"}), right.merge(left).rows({"n": "BIGINT"})
    both = application.sql("SELECT n, 'l' AS side FROM orders UNION ALL SELECT n, 'm' FROM more", orders=orders, more=more)
    odd = application.sql("SELECT n FROM orders WHERE n % 2 = 1", orders=orders)
    keyed = both.key_by(lambda row: row["side"])
    counted = keyed.stateful("count", lambda row, seen: seen.append(row["n"]) or f"{row['side']}{len(seen)};", state=list)
    counted.sink("out", connector="stdout")
    odd.sink("odd", connector="stdout", encoder=lambda row: f"{row['n']};")
    driver = Driver(application)
    for number in range(3):
        driver.frame("left", f'{{"n": {number}}}')
    driver.frame("right", '{"n": 9}')
    assert sorted(driver.frames("out")) == sorted([b"l1;", b"l2;", b"l3;", b"m1;", b"m2;", b"m3;", b"m4;"])
    assert driver.text("odd") == "1;"


def refused(query: str, columns: Any) -> str:
    with pytest.raises(thalweg.EngineError) as raised:
        driver_of(query, columns, lambda _: None, [])
    return str(raised.value)


def test_what_sql_refuses_is_told() -> None:
    columns = {"user": "TEXT", "amount": "BIGINT"}
    assert "unknown-column" in refused("SELECT usr FROM stream", columns)
    assert "unknown-table" in refused("SELECT * FROM orders", columns)
    assert "syntax" in refused("SELEC 1", columns)
    assert "the rows of this query change" in refused("SELECT user, count(*) AS n FROM stream GROUP BY user", columns)
    assert "there is no type 'BIGNT'" in refused("SELECT * FROM stream", {"v": "BIGNT"})
    for wrong in ("", "BIGINT, w TEXT", "BIGINT) WITH (connector = 'stdout'", "BIGINT); SELECT (1"):
        text = refused("SELECT * FROM stream", {"v": wrong})
        assert "invalid-type" in text or "syntax" in text, text
    assert "there is no type 'MAPP'" in refused("SELECT * FROM stream", {"v": "MAPP"})


def test_lengths_of_time_are_computed_in_sql() -> None:
    query = "SELECT t - f AS whole, t + d AS later, d * 2 AS twice, INTERVAL '36 hours' AS hours, f - t AS before FROM stream"
    query = query.replace("d * 2 AS twice", "d + d AS twice")
    columns = {"f": "TIMESTAMP", "t": "TIMESTAMP(3)", "d": "INTERVAL"}
    record = {"f": NOON, "t": NOON.replace(microsecond=0) + timedelta(days=2), "d": timedelta(hours=-30)}
    (row,) = answers(query, columns, [record])
    assert row["whole"] == timedelta(days=2, microseconds=-123456) == -row["before"]
    assert row["later"] == record["t"] - timedelta(hours=30)
    assert row["twice"] == timedelta(hours=-60) and row["hours"] == timedelta(hours=36)


def test_an_interval_of_months_has_no_length() -> None:
    driver = driver_of("SELECT INTERVAL '14 months 3 days' AS v FROM stream", {"n": "BIGINT"}, lambda _: {"n": 1}, [])
    with pytest.raises(thalweg.EngineError, match="the column 'v' cannot be given to Python") as raised:
        driver.frame("in", "x")
    assert "an interval of 14 months has no length in days" in raised.value.why
    query = "SELECT date_part('month', INTERVAL '14 months 3 days') AS months FROM stream"
    assert answers(query, {"n": "BIGINT"}, [{"n": 1}])[0]["months"] in (2, 14)


def test_maps_are_read_and_made_in_sql() -> None:
    columns = {"m": "MAP(TEXT, BIGINT)"}
    query = "SELECT m['a'] AS a, map_keys(m) AS keys, map(['x'], [m['b']]) AS made FROM stream WHERE cardinality(m) > 1"
    (row,) = answers(query, columns, [{"m": {"a": 5, "b": 6}}, {"m": {"a": 1}}])
    assert row["keys"] == ["a", "b"] and row["made"] == {"x": 6}
    assert row["a"] in (5, [5])


def test_what_is_no_key_of_a_dict_is_told() -> None:
    query = "SELECT map([make_array(1)], [2]) AS v FROM stream"
    driver = driver_of(query, {"n": "BIGINT"}, lambda _: {"n": 1}, [])
    with pytest.raises(thalweg.EngineError, match="the column 'v' cannot be given to Python") as raised:
        driver.frame("in", "x")
    assert "unhashable type: 'list'" in raised.value.why


class Stay(NamedTuple):
    guest: str
    length: timedelta
    prices: dict[str, Optional[float]]
    notes: Optional[dict[int, list[str]]] = None


def test_lengths_and_dicts_are_columns_of_classes() -> None:
    stays = [Stay("ann", timedelta(2), {"room": 80.0, "bar": None}), Stay("bob", timedelta(1), {}, {7: ["late"]})]
    assert answers("SELECT * FROM stream", Stay, stays) == [stay._asdict() for stay in stays]
    with pytest.raises(TypeError, match=r"dict\[...\] of these"):
        thalweg.Application("a").source("in", connector="tcp").rows(NamedTuple("Odd", [("v", dict[complex, int])]))


def test_maps_and_lengths_wait_in_windows_across_a_restart() -> None:
    query = """
        SELECT array_agg(m) AS ms, max(d) AS most, first_value(m ORDER BY n) AS first
        FROM stream GROUP BY n % 2, tumble(interval '10 seconds')
    """
    got: list[Any] = []
    application = thalweg.Application("windows")
    records = application.source("in", connector="tcp", decoder=lambda frame: int(frame))
    made = records.map(lambda n: {"n": n, "m": {f"k{n}": n}, "d": timedelta(hours=n)}).with_event_time(lambda _: 1)
    made.sql(query, {"n": "BIGINT", "m": "MAP(TEXT, BIGINT)", "d": "INTERVAL"}).map(got.append).discard()
    driver = Driver(application)
    for number in range(3):
        driver.frame("in", str(number))
        driver.restart()
    driver.end()
    even, odd = sorted(got, key=lambda row: -len(row["ms"]))
    assert even == {"ms": [{"k0": 0}, {"k2": 2}], "most": timedelta(hours=2), "first": {"k0": 0}}
    assert odd == {"ms": [{"k1": 1}], "most": timedelta(hours=1), "first": {"k1": 1}}


def test_mistakes_are_told_where_they_are_made() -> None:
    application = thalweg.Application("wrong")
    stream = application.source("in", connector="tcp")
    with pytest.raises(TypeError, match="columns are a dict"):
        stream.rows("BIGINT")
    with pytest.raises(TypeError, match="there are no columns"):
        stream.rows({})
    with pytest.raises(TypeError, match="a name and a type of SQL"):
        stream.rows({"v": int})
    with pytest.raises(TypeError, match="'Odd.x' is .* which is no type of a column"):
        stream.rows(dataclass(type("Odd", (), {"__annotations__": {"x": complex}})))
    with pytest.raises(TypeError, match="is made of a stream by its method 'rows'"):
        application.sql("SELECT 1", orders=stream)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of another application"):
        thalweg.Application("other").sql("SELECT 1", orders=stream.rows({"v": "BIGINT"}))


VIEW = """
import thalweg

SCRIPT = '''
    CREATE TABLE orders (user TEXT, amount BIGINT)
    WITH (connector = 'single_file', path = 'orders.json', format = 'json', type = 'source');
    CREATE VIEW large AS SELECT user, amount FROM orders WHERE amount > 2;
'''

application = thalweg.Application("view")
rows = application.view(SCRIPT, "large")
rows.sink("out", connector="stdout", encoder=lambda row: f"{row['user']} {row['amount']}\\n")
"""


def test_a_view_of_a_script_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_text('{"user": "ann", "amount": 5}\n{"user": "bob", "amount": 1}\n{"user": "cy", "amount": 3}\n')
    (tmp_path / "app.py").write_text(VIEW)
    command = [sys.executable, "-m", "thalweg", "run", "app.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ann", "5", "cy", "3"]


def test_records_go_to_a_sink_of_rows() -> None:
    application = thalweg.Application("rows")
    records = application.source("in", connector="tcp", decoder=thalweg.decode_json)
    records.sink_rows("out", {"user": "TEXT NOT NULL", "at": "TIMESTAMP"}, connector="stdout", format="json")
    driver = Driver(application)
    driver.frame("in", '{"user": "ann", "at": 0}')
    driver.frame("in", '{"user": "bob", "more": 1}')
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert driver.rows("out") == [{"user": "ann", "at": epoch}, {"user": "bob", "at": None}]
    with pytest.raises(thalweg.EngineError, match="sink 'out': the column 'user' is TEXT NOT NULL"):
        driver.frame("in", '{"user": null}')


SINK = """
import thalweg

application = thalweg.Application("sink")
numbers = application.source("in", connector="single_file", path="numbers.txt", type="source", decoder=lambda frame: int(frame))
rows = numbers.map(lambda n: {"n": n, "squares": [n * n]})
rows.sink_rows("out", {"n": "BIGINT", "squares": "BIGINT[]"}, connector="single_file", path="out.json", type="sink", FORMAT)
"""


def test_a_sink_of_rows_has_the_formats_of_sql(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n2\n")
    command = [sys.executable, "-m", "thalweg", "run", "app.py"]
    (tmp_path / "app.py").write_text(SINK.replace("FORMAT", "format='json'"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.json").read_text() == '{"n":1,"squares":[1]}\n{"n":2,"squares":[4]}\n'
    (tmp_path / "app.py").write_text(SINK.replace("FORMAT", "format='jsn'"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "jsn" in done.stderr, done.stderr


@dataclass
class Place:
    lat: float


@dataclass
class Stop:
    name: str
    place: Place


@dataclass
class Trip:
    stops: list[Stop]


def test_a_list_of_objects_whose_last_field_is_an_object() -> None:
    trip = Trip([Stop("a", Place(1.5)), Stop("b", Place(2.5))])
    got = answers("SELECT stops[2] AS stop, cardinality(stops) AS n FROM stream", Trip, [trip])
    assert got == [{"stop": {"name": "b", "place": {"lat": 2.5}}, "n": 2}]


def test_a_query_with_a_name_is_known_by_it(tmp_path: Path) -> None:
    select = "SELECT count(*) AS n FROM stream WHERE n > {n} GROUP BY tumble(INTERVAL '10 seconds')"
    queries = [f'rows.sql("{select.format(n=n)}", "above {n}").discard()' for n in (1, 2)]

    def filters(lines: list[str]) -> dict[str, str]:
        (tmp_path / "app.py").write_text(
            "import thalweg\n"
            "app = thalweg.Application('named')\n"
            "rows = app.source('in', connector='single_file', path='in.txt').rows({'n': 'BIGINT'})\n" + "\n".join(lines)
        )
        code, out, err = run("-m", "thalweg", "explain", "app.py", "--json", folder=tmp_path)
        assert (code, err) == (0, "")
        nodes = [node for chain in json.loads(out)["chains"] for node in chain["operators"]]
        return {node["id"]: node["label"] for node in nodes if node["kind"] == "filter"}

    assert filters(queries) == {"sql-above 1/query/filter": "n > 1", "sql-above 2/query/filter": "n > 2"}
    assert filters(queries) == filters(queries[::-1])
    application = thalweg.Application("twice")
    for _ in range(2):
        application.sql("SELECT 1 AS one", "same").discard()
    with pytest.raises(thalweg.EngineError, match="two scripts have the name 'same'"):
        Driver(application)
    with pytest.raises(TypeError, match="the name of a query is a text, not 5"):
        application.sql("SELECT 1 AS one", 5)  # type: ignore[arg-type]
