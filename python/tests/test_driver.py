"""What pipelines compute, driven by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import thalweg
from thalweg.testing import Driver


class Count:
    def __init__(self) -> None:
        self.words = 0


def count(word: str, state: Count) -> tuple[str, int]:
    state.words += 1
    return word, state.words


def word_count() -> thalweg.Application:
    application = thalweg.Application("word-count")
    (
        application.source("text", connector="tcp", decoder=thalweg.decode_utf8)
        .flat_map(str.split)
        .key_by(lambda word: word)
        .stateful("counts", count, state=Count)
        .sink("out", connector="stdout", encoder=lambda pair: f"{pair[0]} => {pair[1]}\n")
    )
    return application


def test_words_are_counted() -> None:
    driver = Driver(word_count())
    driver.frame("text", "the pool and the river")
    assert driver.text("out") == "the => 1\npool => 1\nand => 1\nthe => 2\nriver => 1\n"


def test_state_survives_a_restart() -> None:
    driver = Driver(word_count())
    driver.frame("text", "the pool")
    driver.restart()
    driver.frame("text", "the the pool")
    assert driver.text("out") == "the => 1\npool => 1\nthe => 2\nthe => 3\npool => 2\n"


def echo(*steps) -> Driver:
    """A program of these steps, each a function from stream to stream."""
    application = thalweg.Application("echo")
    stream = application.source("in", connector="tcp", decoder=thalweg.decode_json)
    for step in steps:
        stream = step(stream)
    stream.sink("out", connector="stdout", encoder=lambda record: f"{record!r};")
    return Driver(application)


def test_maps_filters_and_generators() -> None:
    def halves(number: int):
        while number:
            yield number
            number //= 2

    driver = echo(
        lambda s: s.filter(lambda n: n != 3),
        lambda s: s.flat_map(halves),
        lambda s: s.map(lambda n: None if n == 2 else n),
    )
    for number in ("4", "3", "6"):
        driver.frame("in", number)
    assert driver.text("out") == "4;1;6;3;1;"


def test_generators_stop_while_the_output_is_full() -> None:
    driver = echo(lambda s: s.flat_map(range))
    driver.frame("in", "20000")
    assert len(driver.frames("out")) == 20_000


def test_branches_and_merges() -> None:
    application = thalweg.Application("fork")
    numbers = application.source("in", connector="tcp", decoder=thalweg.decode_json)
    even = numbers.filter(lambda n: n % 2 == 0).map(lambda n: ("even", n))
    odd = numbers.filter(lambda n: n % 2 == 1).map(lambda n: ("odd", n))
    even.merge(odd).sink("out", connector="stdout", encoder=lambda pair: f"{pair[0]} {pair[1]};")
    driver = Driver(application)
    for number in range(4):
        driver.frame("in", str(number))
    assert sorted(driver.frames("out")) == [b"even 0;", b"even 2;", b"odd 1;", b"odd 3;"]


def test_pipelines_share_a_state() -> None:
    application = thalweg.Application("limits")
    limits = application.state("limits", dict)

    def set_limit(record, state):
        state["limit"] = record[1]

    def check(user, state):
        return f"{user} {state.get('limit', 'none')};"

    new = application.source("limits", connector="tcp", decoder=thalweg.decode_json)
    new.key_by(lambda record: record[0]).stateful("set", set_limit, state=limits).discard()
    requests = application.source("requests", connector="tcp", decoder=thalweg.decode_utf8)
    requests.key_by(str).stateful("check", check, state=limits).sink("out", connector="stdout")
    driver = Driver(application)
    driver.frame("requests", "ann")
    driver.frame("limits", '["ann", 7]')
    driver.frame("requests", "ann")
    driver.frame("requests", "bob")
    assert driver.text("out") == "ann none;ann 7;bob none;"


KEYS = ["a", b"a", 1, -(2**63), 2**70, 1.5, None, ("a", (1, b"")), "", "ü"]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_are_kept_apart(key: object) -> None:
    class Seen(list):
        pass

    def remember(record, seen):
        seen.append(record)
        return list(seen)

    application = thalweg.Application("keys")
    records = application.source("in", connector="tcp", decoder=lambda frame: int(frame))
    keyed = records.key_by(lambda index: KEYS[index])
    keyed.stateful("seen", remember, state=list).sink("out", connector="stdout", encoder=repr)
    driver = Driver(application)
    for index in range(len(KEYS)):
        driver.frame("in", str(index))
    driver.restart()
    at = KEYS.index(key)
    driver.frame("in", str(at))
    assert driver.frames("out")[-1] == repr([at, at]).encode()


EQUAL = [[1, 1.0, True], [0, -0.0, False], [2**63, 2.0**63], [-(2**63), -(2.0**63)], [int(1e300), 1e300], [(1, 2**63), (1.0, 2.0**63)]]


@pytest.mark.parametrize("equal", EQUAL, ids=lambda equal: repr(equal[1]))
def test_equal_numbers_are_one_key(equal: list) -> None:
    assert len(set(equal)) == 1

    def number(record, seen):
        seen.append(record)
        return len(seen)

    application = thalweg.Application("keys")
    records = application.source("in", connector="tcp", decoder=lambda frame: int(frame))
    records.key_by(lambda i: equal[i]).stateful("seen", number, state=list).sink("out", connector="stdout", encoder=str)
    driver = Driver(application)
    for index in range(len(equal)):
        driver.frame("in", str(index))
    assert driver.frames("out") == [str(index + 1).encode() for index in range(len(equal))]


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __repr__(self) -> str:
        return f"Point({self.x})"


RECORDS = [None, True, 0, -5, 2**80, 0.5, float("inf"), "text", "\ud800", b"\x00", (), (1, ("x", None)), [1], {"a": 1}, Point(3)]


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_any_object_crosses_an_exchange(record: object) -> None:
    got = []

    def take(value, _):
        got.append(value)

    application = thalweg.Application("cross")
    source = application.source("in", connector="tcp")
    source.map(lambda frame: (record,)).key_by(lambda _: 0).stateful("take", take, state=list).discard()
    Driver(application).frame("in", b"x")
    assert got == [(record,)] and type(got[0][0]) is type(record)


def failing(step, frame: str = "1") -> str:
    driver = echo(step)
    with pytest.raises(thalweg.EngineError) as raised:
        driver.frame("in", frame)
    assert raised.value.code == "function-failed"
    return str(raised.value)


def test_an_exception_says_what_where_and_with_which_record() -> None:
    def invert(number):
        return 1 / number

    text = failing(lambda s: s.map(invert), "0")
    assert "map 'invert' raised ZeroDivisionError: division by zero" in text
    assert "in invert" in text and "return 1 / number" in text, text
    assert "the record was 0" in text


def test_an_exception_within_a_generator_is_told() -> None:
    def some(number):
        yield number
        raise RuntimeError("enough")

    assert "flat_map 'some' raised RuntimeError: enough" in failing(lambda s: s.flat_map(some))


def test_what_is_no_list_is_refused() -> None:
    assert "gave 5 of type 'int', not a list" in failing(lambda s: s.flat_map(lambda n: 5))
    assert "gave 'ab' of type 'str', not a list" in failing(lambda s: s.flat_map(lambda n: "ab"))


@pytest.mark.parametrize("key", [[], {}, object(), Point(1)], ids=["list", "dict", "object", "Point"])
def test_what_is_no_key_is_refused(key: object) -> None:
    text = failing(lambda s: s.key_by(lambda _: key).stateful("x", lambda r, s: r, state=list))
    assert "is no key: keys are str, bytes, int" in text


def test_a_huge_key_is_refused() -> None:
    text = failing(lambda s: s.key_by(lambda _: "k" * 100_000).stateful("x", lambda r, s: r, state=list))
    assert "is longer than 65536" in text


def test_an_encoder_gives_bytes_or_text() -> None:
    application = thalweg.Application("bad")
    application.source("in", connector="tcp").sink("out", connector="stdout", encoder=len)
    driver = Driver(application)
    with pytest.raises(thalweg.EngineError, match="gave 3 of type 'int', not bytes or str"):
        driver.frame("in", b"abc")


def test_mistakes_are_told_where_they_are_made() -> None:
    application = thalweg.Application("wrong")
    stream = application.source("in", connector="tcp")
    with pytest.raises(TypeError, match="is a function"):
        stream.map(5)
    with pytest.raises(TypeError, match="is a encoder|is an encoder"):
        stream.map(thalweg.encode_json)
    with pytest.raises(ValueError, match="two applications"):
        stream.merge(thalweg.Application("other").source("in", connector="tcp"))
    with pytest.raises(TypeError, match="no decorator"):
        stream.to(len)


def test_an_application_without_a_sink_is_refused() -> None:
    application = thalweg.Application("empty")
    application.source("in", connector="tcp")
    with pytest.raises(thalweg.EngineError, match="nobody reads|neither a sink"):
        Driver(application)
    with pytest.raises(thalweg.EngineError, match="has no source"):
        Driver(thalweg.Application("nothing"))


def test_decorated_functions_are_steps() -> None:
    @thalweg.decoder_multi
    def words(frame: bytes):
        return frame.decode().split()

    @thalweg.computation(name="shout")
    def shout(word: str) -> str:
        return word.upper()

    @thalweg.computation_multi
    def twice(word: str):
        return [word, word]

    @thalweg.key_extractor
    def itself(word: str) -> str:
        return word

    @thalweg.state_computation(state=Count, name="count")
    def number(word: str, state: Count):
        return count(word, state)

    @thalweg.encoder
    def line(pair) -> bytes:
        return b"%s %d\n" % (pair[0].encode(), pair[1])

    application = thalweg.Application("decorated")
    stream = application.source("in", connector="tcp", decoder=words).to(shout).to(twice)
    stream.key_by(itself).to(number).sink("out", connector="stdout", encoder=line)
    driver = Driver(application)
    driver.frame("in", "a b")
    assert driver.text("out") == "A 1\nA 2\nB 1\nB 2\n"
    assert shout("x") == "X"


def test_what_is_discarded_is_done() -> None:
    seen: list[bytes] = []
    application = thalweg.Application("seen")
    records = application.source("in", connector="tcp")
    records.map(seen.append).discard()
    records.filter(lambda record: bool(seen.append(record))).discard()
    driver = Driver(application)
    driver.frame("in", "x")
    assert seen == [b"x", b"x"]


TABLES = """
    CREATE TABLE orders (
        id BIGINT NOT NULL, city TEXT NOT NULL, price DOUBLE, at TIMESTAMP NOT NULL, more STRUCT<note TEXT, n BIGINT>,
        WATERMARK FOR at AS at - INTERVAL '5 seconds'
    ) WITH (connector = 'tcp', address = '256.1.1.1:1', type = 'source', format = 'json');
    CREATE TABLE cities (city TEXT NOT NULL, land TEXT) WITH
        (connector = 'filesystem', path = '/nowhere/at/all', type = 'source', format = 'parquet');
    CREATE TABLE unread (v BIGINT) WITH (connector = 'single_file', path = '/nowhere/at/all', type = 'source', format = 'json');
    CREATE VIEW sums AS
        SELECT city, sum(price) AS total, count(*) AS n FROM orders GROUP BY city, tumble(INTERVAL '1 minute');
    CREATE VIEW lands AS SELECT upper(city) AS city, land FROM cities;
"""


def noon(seconds: float) -> datetime:
    return datetime(2024, 5, 1, 12, tzinfo=timezone.utc) + timedelta(seconds=seconds)


def order(id: int, city: str, price: float | None, at: float) -> dict[str, Any]:
    return {"id": id, "city": city, "price": price, "at": noon(at)}


class TestTablesOfScripts:
    def test_their_rows_are_given_by_hand(self) -> None:
        application = thalweg.Application("script")
        application.view(TABLES, "sums").sink("out", connector="stdout", encoder=repr)
        driver = Driver(application)
        driver.rows_in("orders", [order(1, "Rome", 5, 0), order(2, "Oslo", None, 59), order(3, "Rome", 2.5, 60)])
        assert driver.frames("out") == [], "the watermark is five seconds behind"
        driver.restart()
        driver.record("ORDERS", order(4, "Rome", 1, 65))
        driver.rows_in("orders", [order(5, "Rome", 99, 59.9)])
        expected = [{"city": "Oslo", "total": None, "n": 1}, {"city": "Rome", "total": 5.0, "n": 1}]
        assert sorted(driver.text("out").replace("}{", "}|{").split("|")) == [repr(row) for row in expected]
        driver.end()
        assert driver.text("out").endswith(repr({"city": "Rome", "total": 3.5, "n": 2})), "the late row is left out"

    def test_their_watermark_is_said_by_hand(self) -> None:
        got: list[Any] = []
        application = thalweg.Application("script")
        application.view(TABLES, "sums").map(got.append).discard()
        driver = Driver(application)
        driver.rows_in("orders", [order(1, "Rome", 5, 0)])
        driver.watermark("orders", noon(59.9))
        assert got == []
        driver.watermark("orders", noon(60))
        assert got == [{"city": "Rome", "total": 5.0, "n": 1}]

    def test_each_script_reads_a_table_of_the_name(self) -> None:
        got: list[Any] = []
        application = thalweg.Application("script")
        orders = application.table("more", {"city": "TEXT"}, connector="single_file", path="/nowhere", format="json")
        application.view(TABLES, "sums").map(lambda row: got.append(("sums", row["total"]))).discard()
        counted = "SELECT count(*) AS n, more.note FROM orders GROUP BY more.note, tumble(INTERVAL '1 hour')"
        application.sql(TABLES + counted).map(lambda row: got.append(("count", row))).discard()
        application.sql("SELECT city FROM orders", orders=orders).map(lambda row: got.append(row["city"])).discard()
        driver = Driver(application)
        driver.record("orders", order(1, "Rome", 5, 0) | {"more": {"note": "x", "n": 1}})
        driver.record("more", {"city": "Bern"})
        driver.rows_in("sql-2/orders", [order(2, "Oslo", 7, 1)])
        driver.watermark("orders", noon(3600))
        assert got[0] == "Bern" and ("sums", 5.0) in got, got
        assert sorted((row["n"], row["note"] or "") for name, row in got[1:] if name == "count") == [(1, ""), (1, "x")]

    def test_what_a_program_declares_itself_comes_first(self) -> None:
        got: list[Any] = []
        application = thalweg.Application("script")
        application.view(TABLES, "sums").map(got.append).discard()
        own = application.source("orders", connector="tcp", decoder=thalweg.decode_json)
        own.map(got.append).discard()
        driver = Driver(application)
        driver.record("orders", 7)
        driver.frame("orders", "8")
        driver.record("sql/orders", order(1, "Rome", 5, 0))
        driver.end()
        assert got == [7, 8, {"city": "Rome", "total": 5.0, "n": 1}]

    def test_columns_that_nobody_reads_are_not_asked_for(self) -> None:
        application = thalweg.Application("script")
        application.sql(TABLES + "SELECT land FROM cities").sink("out", connector="stdout", encoder=repr)
        driver = Driver(application)
        driver.rows_in("cities", [{}, {"land": "Italy", "city": 7}])
        assert driver.text("out") == "{'land': None}{'land': 'Italy'}"

    def test_their_sinks_are_kept_by_name(self) -> None:
        application = thalweg.Application("script")
        script = TABLES + """
            CREATE TABLE big WITH (connector = 'filesystem', path = '/nowhere/at/all', type = 'sink', format = 'parquet');
            INSERT INTO big SELECT id, city FROM orders WHERE price > 3;
        """
        application.view(script, "sums").discard()
        driver = Driver(application)
        driver.rows_in("orders", [order(1, "Rome", 5, 0), order(2, "Oslo", 1, 0)])
        assert driver.rows("big") == [{"id": 1, "city": "Rome"}]

    @pytest.mark.parametrize(
        ("give", "words"),
        [
            (lambda driver: driver.rows_in("order", [{}]), "there is no source 'order'"),
            (lambda driver: driver.record("order", {}), "there is 'orders', 'lines'"),
            (lambda driver: driver.rows_in("unread", [{"v": 1}]), "there is no source 'unread'"),
            (lambda driver: driver.rows_in("sql-2/orders", [{}]), "there is no source 'sql-2/orders'"),
            (lambda driver: driver.frame("orders", "{}"), "'orders' takes rows, and no frames"),
            (lambda driver: driver.rows_in("orders", [{"city": "Rome"}]), "table 'orders': the record has no 'at', which is a column of type TIMESTAMP NOT NULL"),
            (lambda driver: driver.record("orders", order(1, "Rome", "5", 0)), "the column 'price' is DOUBLE, and the record has '5'"),
            (lambda driver: driver.rows("big"), "there is no sink 'big'"),
        ],
    )
    def test_what_cannot_be_given_is_told(self, give: Any, words: str) -> None:
        application = thalweg.Application("script")
        application.view(TABLES, "sums").discard()
        application.source("lines", connector="tcp").discard()
        with pytest.raises(thalweg.EngineError) as refused:
            give(Driver(application))
        assert words in str(refused.value), refused.value
