"""Functions of whole batches, and rows that stay columns."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional

import numpy
import pandas
import pyarrow
import pyarrow.compute as compute
import pytest

import thalweg
from thalweg.testing import Driver

NUMBERS = {"id": "BIGINT NOT NULL", "x": "DOUBLE"}


def driver_of(
    function: Callable[[Any], Any], output: Any = NUMBERS, columns: Any = NUMBERS, **options: Any
) -> Driver:
    """A table `in`, a function of its batches, and a sink `out` of what it gives."""
    application = thalweg.Application("batches")
    rows = application.table("in", columns, connector="single_file", path="unread", format="json")
    rows.map_batches(function, output, **options).sink_rows("out", connector="stdout", format="json")
    return Driver(application)


def given(function: Callable[[Any], Any], rows: list[Any], output: Any = NUMBERS, columns: Any = NUMBERS, **options: Any) -> Any:
    driver = driver_of(function, output, columns, **options)
    driver.rows_in("in", rows)
    return driver.rows("out")


def refused(function: Callable[[Any], Any], output: Any = NUMBERS, **options: Any) -> thalweg.EngineError:
    """What is said of a function that gets three rows."""
    with pytest.raises(thalweg.EngineError) as told:
        given(function, [{"id": 1, "x": 1.5}, {"id": 2, "x": None}, {"id": 3, "x": -4.0}], output, **options)
    return told.value


def same(batch: Any) -> Any:
    return batch


def test_a_function_gets_each_batch_once_however_small() -> None:
    batches = []

    def twice(batch: Any) -> Any:
        batches.append(batch)
        return batch.set_column(1, "x", compute.multiply(batch["x"], 2.0))

    driver = driver_of(twice)
    driver.rows_in("in", [{"id": 1, "x": 1.5}, {"id": 2, "x": None}])
    driver.rows_in("in", [{"id": 3, "x": 2.0}])
    assert driver.rows("out") == [{"id": 1, "x": 3.0}, {"id": 2, "x": None}, {"id": 3, "x": 4.0}]
    assert [(type(batch), batch.num_rows) for batch in batches] == [(pyarrow.RecordBatch, 2), (pyarrow.RecordBatch, 1)]
    assert batches[0].schema.names == ["id", "x"], "the engine's own columns stay behind"


ALL_COLUMNS = {
    "flag": "BOOLEAN", "tiny": "TINYINT", "small": "SMALLINT", "whole": "INT", "big": "BIGINT",
    "huge": "BIGINT UNSIGNED", "real": "FLOAT", "number": "DOUBLE", "exact": "DECIMAL(10, 2)", "text": "TEXT",
    "bytes": "BYTEA", "day": "DATE", "clock": "TIME", "at": "TIMESTAMP", "list": "BIGINT[]",
    "pair": "STRUCT<a BIGINT, b TEXT>",
}  # fmt: skip
ALL_VALUES = {
    "flag": True, "tiny": -128, "small": 32767, "whole": -(2**31), "big": 2**63 - 1, "huge": 2**64 - 1, "real": 0.5,
    "number": 0.1, "exact": Decimal("-12345678.90"), "text": "ü\x00'", "bytes": b"\x00\xff", "day": date(1969, 12, 31),
    "clock": time(23, 59, 59, 999999), "at": datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc),
    "list": [1, None, 3], "pair": {"a": 1, "b": None},
}  # fmt: skip


def test_values_of_all_types_go_there_and_back() -> None:
    rows = [ALL_VALUES, dict.fromkeys(ALL_COLUMNS), ALL_VALUES]
    assert given(same, rows, ALL_COLUMNS, ALL_COLUMNS) == rows


def chunked(batch: Any) -> pyarrow.Table:
    return pyarrow.Table.from_batches([batch.slice(0, 1), batch.slice(1, 0), batch.slice(1)])


class Other:
    """Neither pyarrow's nor ours, but it speaks the interface."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self.batch.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    "form",
    [
        same,
        chunked,
        Other,
        lambda batch: batch.to_struct_array(),
        lambda batch: batch.to_pandas(),
        lambda batch: pyarrow.RecordBatchReader.from_batches(batch.schema, [batch]),
        lambda batch: {"id": batch["id"], "x": batch["x"]},
        lambda batch: {"id": batch["id"].to_numpy(), "x": batch["x"].to_pylist()},
        lambda batch: {"x": chunked(batch)["x"], "more": batch["id"], "id": pandas.Series([1, 2, 3])},
        lambda batch: pyarrow.concat_tables([chunked(batch)] * 2).slice(2, 4).slice(1),
    ],
)
def test_whatever_has_columns_is_a_result(form: Callable[[Any], Any]) -> None:
    rows = [{"id": 1, "x": 1.5}, {"id": 2, "x": None}, {"id": 3, "x": -4.0}]
    assert given(form, rows) == rows


def test_a_table_without_rows_is_a_result() -> None:
    assert given(lambda batch: chunked(batch).slice(0, 0).append_column("of", [[]]), [{"id": 1, "x": 1.0}], origin="of") == []
    empty = pyarrow.schema([("id", pyarrow.int64()), ("x", pyarrow.float64()), ("of", pyarrow.int8())])
    no_pieces = pyarrow.RecordBatchReader.from_batches(empty, [])
    assert given(lambda _: no_pieces, [{"id": 1, "x": 1.0}], origin="of") == []


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        (pyarrow.array([7], pyarrow.int8()), ("BIGINT", 7)),
        (pyarrow.array([7], pyarrow.int64()), ("SMALLINT", 7)),
        (pyarrow.array([7], pyarrow.uint64()), ("DOUBLE", 7.0)),
        (pyarrow.array([0.5], pyarrow.float32()), ("DOUBLE", 0.5)),
        (pyarrow.array([None], pyarrow.null()), ("TEXT", None)),
        (pyarrow.array(["ü"], pyarrow.large_string()), ("TEXT", "ü")),
        (pyarrow.array(["longer than twelve bytes"], pyarrow.string_view()), ("TEXT", "longer than twelve bytes")),
        (pyarrow.array(["a"]).dictionary_encode(), ("TEXT", "a")),
        (pyarrow.array([b"a"], pyarrow.large_binary()), ("BYTEA", b"a")),
        (pyarrow.array([b"ab"], pyarrow.binary(2)), ("BYTEA", b"ab")),
        (pyarrow.array([Decimal("1.5")]), ("DECIMAL(10, 2)", Decimal("1.50"))),
        (pyarrow.array([datetime(2024, 1, 2)], pyarrow.timestamp("s")), ("TIMESTAMP", datetime(2024, 1, 2, tzinfo=timezone.utc))),
        (
            pyarrow.array([datetime(2024, 1, 2, tzinfo=timezone.utc)], pyarrow.timestamp("us", "Asia/Tokyo")),
            ("TIMESTAMP", datetime(2024, 1, 2, tzinfo=timezone.utc)),
        ),
        (pyarrow.array([[1, None]], pyarrow.large_list(pyarrow.int8())), ("BIGINT[]", [1, None])),
    ],
)
def test_values_that_fit_are_taken(column: Any, declared: tuple[str, Any]) -> None:
    name, value = declared
    got = given(lambda batch: {"value": column}, [{"id": 1, "x": 0.0}], {"value": name})
    assert got == [{"value": value}] and type(got[0]["value"]) is type(value)


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        ([0.5], "BIGINT"),
        ([300], "TINYINT"),
        ([-1], "BIGINT UNSIGNED"),
        ([1], "TEXT"),
        (["1"], "BIGINT"),
        ([True], "BIGINT"),
        ([1], "BOOLEAN"),
        ([b"a"], "TEXT"),
        ([123.5], "DECIMAL(10, 2)"),
        ([Decimal("1234.5")], "DECIMAL(3, 1)"),
        ([date(2024, 1, 1)], "TIMESTAMP"),
        (["2024-01-01"], "DATE"),
        ([None], "BIGINT NOT NULL"),
        ([[1]], "BIGINT"),
        ([{"b": 1}], "STRUCT<a BIGINT>"),
    ],
)
def test_values_that_do_not_fit_are_refused(column: list[Any], declared: str) -> None:
    driver = driver_of(lambda batch: {"value": pyarrow.array(column)}, {"value": declared})
    with pytest.raises(thalweg.EngineError, match=r"map_batches '<lambda>' gave a column 'value'") as told:
        driver.rows_in("in", [{"id": 1, "x": 0.0}])
    assert told.value.code == "function-failed" and declared in told.value.what


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda batch: batch.slice(1), "map_batches '<lambda>' gave 2 rows for a batch of 3"),
        (lambda batch: pyarrow.concat_batches([batch, batch]), "gave 6 rows for a batch of 3"),
        (lambda batch: batch.drop_columns(["x"]), "gave no column 'x', only 'id'"),
        (lambda batch: None, "gave no columns: 'NoneType' has no columns"),
        (lambda batch: batch["x"], "gave no columns: a batch has columns by name, and this is one column of 'Float64'"),
        (lambda batch: {"id": [1, 2, 3], "x": 5}, "gave no columns: the column 'x' is none: 'int' has no columns"),
        (lambda batch: {"id": [1, 2, 3], "x": [1.0]}, "gave no columns"),
        (lambda batch: [{"id": 1}, None, {"id": 3}], "a row of the batch is null"),
        (lambda batch: batch["y"], "raised KeyError"),
        (lambda batch: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_function_does_wrong_is_told(function: Callable[[Any], Any], words: str) -> None:
    told = refused(function)
    assert words in str(told) and told.code == "function-failed", told


def test_a_failing_function_is_named_with_its_traceback() -> None:
    def score(batch: Any) -> Any:
        return batch["x"].as_py()

    told = refused(score)
    assert "map_batches 'score' raised AttributeError" in told.what and "return batch[\"x\"].as_py()" in told.why


def test_a_stream_that_fails_midway_is_told() -> None:
    def pieces(batch: Any) -> Iterator[Any]:
        yield batch
        raise OSError("the disk is gone")

    told = refused(lambda batch: pyarrow.RecordBatchReader.from_batches(batch.schema, pieces(batch)))
    assert "the disk is gone" in told.what


def test_rows_that_name_their_origin_may_be_fewer_or_more_in_any_order() -> None:
    def positive(batch: Any) -> Any:
        frame = batch.to_pandas().assign(row=range(batch.num_rows))
        return frame[frame.x > 0].sort_values("x", ascending=False)

    rows = [{"id": 1, "x": 1.5}, {"id": 2, "x": -2.0}, {"id": 3, "x": 9.0}]
    assert given(positive, rows, origin="row") == [{"id": 3, "x": 9.0}, {"id": 1, "x": 1.5}]
    twice = lambda batch: pyarrow.concat_batches([batch.append_column("row", pyarrow.array(range(3)))] * 2)
    assert given(twice, rows, origin="row") == rows * 2


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        ([0, 1, 3], "gave a row from row 3 of a batch of 3 rows"),
        ([0, -1, 2], "gave a column 'row' that does not number rows"),
        ([0, None, 2], "does not say of every row from which row it comes"),
        ([0.0, 1.0, 2.0], "gave a column 'row' that does not number rows"),
        ([0, 1, 2**40], "gave a column 'row' that does not number rows"),
    ],
)
def test_origins_that_are_none_are_refused(origins: list[Any], words: str) -> None:
    told = refused(lambda batch: batch.append_column("row", pyarrow.array(origins)), origin="row")
    assert words in told.what


def test_event_times_go_along_with_their_rows() -> None:
    """Ten rows, ten seconds apart, in windows of a minute: behind a function that turns their order around and
    leaves every third out."""

    def backwards(batch: Any) -> Any:
        rows = [row for row in reversed(range(batch.num_rows)) if row % 3 != 0]
        return batch.take(pyarrow.array(rows)).append_column("row", pyarrow.array(rows))

    application = thalweg.Application("times")
    columns = {"id": "BIGINT", "at": "TIMESTAMP NOT NULL"}
    options = {"connector": "single_file", "path": "unread", "format": "json"}
    rows = application.table("in", columns, event_time="at", max_delay=5, **options)
    ids = rows.map_batches(backwards, {"id": "BIGINT"}, origin="row")
    sums = ids.sql("SELECT sum(id) AS total, count(*) AS rows FROM stream GROUP BY tumble(INTERVAL '1 minute')")
    sums.map(lambda sum: f"{sum['total']} {sum['rows']};").sink("out", connector="stdout")
    driver = Driver(application)
    minute = lambda seconds: datetime(2024, 1, 1, 12, seconds // 60, seconds % 60, tzinfo=timezone.utc)
    driver.rows_in("in", [{"id": 2**i, "at": minute(10 * i)} for i in range(10)])
    assert driver.text("out") == f"{2 + 4 + 16 + 32} 4;", "the watermark has passed the first minute"
    driver.rows_in("in", [{"id": 1000, "at": minute(0)}, {"id": 1000, "at": minute(1)}])
    driver.end()
    assert driver.text("out") == f"{2 + 4 + 16 + 32} 4;{128 + 256} 2;", "what was late is late still"


def test_results_that_are_too_large_for_a_batch_go_on_in_pieces() -> None:
    sizes = []

    def many(batch: Any) -> Any:
        row = numpy.repeat(numpy.arange(batch.num_rows), 10_000)
        return {"id": numpy.arange(len(row)), "x": row * 1.0, "row": row}

    application = thalweg.Application("large")
    rows = application.table("in", NUMBERS, connector="single_file", path="unread", format="json")
    large = rows.map_batches(many, NUMBERS, origin="row")
    large.map_batches(lambda batch: sizes.append(batch.num_rows) or batch, NUMBERS).sink_rows("out", connector="stdout", format="json")
    driver = Driver(application)
    driver.rows_in("in", [{"id": 1, "x": 1.0}, {"id": 2, "x": 1.0}])
    assert [row["id"] for row in driver.rows("out")] == list(range(20_000))
    assert sizes == [8192, 8192, 20_000 - 2 * 8192]


def test_nothing_is_lost_or_repeated_across_a_restart() -> None:
    driver = driver_of(same)
    driver.rows_in("in", [{"id": 1, "x": 1.0}])
    driver.restart()
    driver.rows_in("in", [{"id": 2, "x": 2.0}])
    assert [row["id"] for row in driver.rows("out")] == [1, 2]


class Reading(NamedTuple):
    city: str
    heat: Optional[float]


class Hot(NamedTuple):
    city: str
    hot: bool


def test_records_become_batches_and_batches_records() -> None:
    def judge(batch: Any) -> Any:
        return batch.append_column("hot", compute.fill_null(compute.greater(batch["heat"], 30.0), False))

    application = thalweg.Application("hot")
    readings = application.source("in", connector="tcp", decoder=lambda frame: Reading(*json.loads(frame)))
    judged = readings.map_batches(judge, Reading, Hot)
    judged.records().filter(lambda row: row["hot"]).map(lambda row: row["city"]).sink("hot", connector="stdout")
    judged.sink_rows("all", connector="stdout", format="json")
    driver = Driver(application)
    for frame in ('["Rome", 31.5]', '["Oslo", null]'):
        driver.frame("in", frame)
    assert driver.text("hot") == "Rome"
    assert driver.rows("all") == [{"city": "Rome", "hot": True}, {"city": "Oslo", "hot": False}], "both have every row"


def test_a_decorated_function_says_what_it_gives() -> None:
    @thalweg.computation(batch=True, columns=NUMBERS, name="double")
    def twice(batch: Any) -> Any:
        return {"id": batch["id"], "x": compute.multiply(batch["x"], 2)}

    application = thalweg.Application("decorated")
    rows = application.table("in", NUMBERS, connector="single_file", path="unread", format="json")
    rows.to(twice).sink_rows("out", connector="stdout", format="json")
    driver = Driver(application)
    driver.rows_in("in", [{"id": 1, "x": 4.0}])
    assert driver.rows("out") == [{"id": 1, "x": 8.0}]
    records = application.source("records", connector="tcp")
    for misuse in (records.map, records.filter, records.to, records.key_by):
        with pytest.raises(TypeError, match="'double' is a computation of batches"):
            misuse(twice)


def test_what_is_declared_wrongly_is_refused() -> None:
    application = thalweg.Application("wrong")
    rows = application.table("in", NUMBERS, connector="single_file", path="unread", format="json")
    with pytest.raises(TypeError, match="the columns that 'same' gives are not declared"):
        rows.map_batches(same)
    with pytest.raises(TypeError, match="'plain' is no computation of batches"):
        rows.map_batches(thalweg.computation(name="plain")(lambda batch: batch), NUMBERS)
    with pytest.raises(TypeError, match="what maps batches is a function"):
        rows.map_batches("score", NUMBERS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="only a computation of batches gives columns"):
        thalweg.computation(columns=NUMBERS)(same)
    rows.map_batches(same, {"_timestamp": "BIGINT"}).sink_rows("out", connector="stdout", format="json")
    with pytest.raises(thalweg.EngineError, match="the column name '_timestamp' is the engine's own"):
        Driver(application)
    application = thalweg.Application("wrong")
    rows = application.table("in", NUMBERS, connector="single_file", path="unread", format="json", event_time="when")
    rows.sink_rows("out", connector="stdout", format="json")
    with pytest.raises(thalweg.EngineError, match="there is no column 'when' for the event time"):
        Driver(application)


class Array(ctypes.Structure):
    """The structure of the interface."""

    _fields_ = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
    ]


def structure(capsule: Any) -> Array:
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Array.from_address(address(capsule, b"arrow_array"))


def damaged(column: Any, damage: Callable[[Array], None]) -> Any:
    class Damaged:
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            schema, array = column.__arrow_c_array__()
            damage(structure(array))
            return schema, array

    return Damaged()


def set_count(name: str, count: int) -> Callable[[Array], None]:
    return lambda array: setattr(array, name, count)


def take_buffer(index: int) -> Callable[[Array], None]:
    def take(array: Array) -> None:
        array.buffers[index] = None

    return take


@pytest.mark.parametrize(
    "damage",
    [
        set_count("length", -1),
        set_count("length", 2**62),
        set_count("offset", -1),
        set_count("offset", 2**63 - 1),
        set_count("n_buffers", 0),
        set_count("n_buffers", -1),
        set_count("n_children", -1),
        set_count("null_count", 2),
        take_buffer(1),
        take_buffer(2),
    ],
)
def test_a_damaged_column_is_refused(damage: Callable[[Array], None]) -> None:
    texts = pyarrow.array(["one", None, "three"])
    told = refused(lambda batch: {"text": damaged(texts, damage)}, {"text": "TEXT"})
    assert "gave no columns: the column 'text' is none" in told.what


LAYOUTS = [
    pyarrow.array([1, 2, 3]),
    pyarrow.array(["one", "two", "three"]),
    pyarrow.array(["one", "two", "three"]).dictionary_encode(),
    pyarrow.array([[1], [2], [3]]),
    pyarrow.array([{"a": 1}, {"a": 2}, {"a": 3}]),
    pyarrow.array([{"a": 1, "b": ["x"]}, {"a": 2, "b": []}, {"a": 3, "b": None}]),
    pyarrow.array([[("k", 1)], [], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
]


@pytest.mark.parametrize("told", range(len(LAYOUTS)))
@pytest.mark.parametrize("held", range(len(LAYOUTS)))
def test_an_array_of_another_layout_than_its_schema_tells_is_refused(told: int, held: int) -> None:
    class Mixed:
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            return LAYOUTS[told].__arrow_c_array__()[0], LAYOUTS[held].__arrow_c_array__()[1]

    if told != held:
        assert "the column 'value' is none" in refused(lambda batch: {"value": Mixed()}, {"value": "TEXT"}).what


def test_texts_and_offsets_are_checked() -> None:
    def column(offsets: list[int], data: bytes) -> Any:
        buffers = [None, pyarrow.py_buffer(numpy.array(offsets, "int32")), pyarrow.py_buffer(data)]
        return pyarrow.StringArray.from_buffers(3, *buffers[1:])

    good = refused(lambda batch: {"text": column([0, 1, 2, 3], b"abc")}, {"text": "BIGINT"})
    assert "is no BIGINT" in good.what, "the way to make columns is right"
    for offsets, data in [([0, 1, 2, 3], b"a\xffc"), ([0, 2, 1, 3], b"abc"), ([0, -1, 2, 3], b"abc")]:
        told = refused(lambda batch: {"text": column(offsets, data)}, {"text": "TEXT"})
        assert "the column 'text' is none" in told.what, (offsets, data)


def test_capsules_that_are_none_are_refused() -> None:
    def answering(answer: Any) -> Any:
        return type("Answers", (), {"__arrow_c_array__": lambda self, requested_schema=None: answer})()

    batch = pyarrow.record_batch({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0]})
    schema, array = batch.__arrow_c_array__()
    assert "gave no pair of capsules" in refused(lambda _: answering(None)).what
    assert "no capsule 'arrow_schema'" in refused(lambda _: answering((array, schema))).what
    assert "no capsule 'arrow_array'" in refused(lambda _: answering((schema, 7))).what
    pyarrow.RecordBatch._import_from_c_capsule(schema, array)
    assert "was taken by somebody else before" in refused(lambda _: answering((schema, array))).what


def test_a_batch_that_the_function_keeps_stays_as_it_is() -> None:
    kept = []
    driver = driver_of(lambda batch: kept.append(batch) or batch)
    for number in range(100):
        driver.rows_in("in", [{"id": number, "x": float(number)}])
    del driver
    assert [batch.to_pylist() for batch in kept] == [[{"id": n, "x": float(n)}] for n in range(100)]


def test_a_batch_cannot_be_written_to() -> None:
    def change(batch: Any) -> Any:
        batch["id"].to_numpy()[0] = 7
        return batch

    assert "read-only" in refused(change).what


def test_memory_is_given_back() -> None:
    def made(batch: Any) -> Any:
        return {"id": compute.add(batch["id"], 1), "x": compute.multiply(batch["x"], 2.0)}

    gc.collect()
    before = pyarrow.total_allocated_bytes()
    driver = driver_of(made)
    for _ in range(10):
        driver.rows_in("in", [{"id": number, "x": 1.0} for number in range(1000)])
    assert pyarrow.total_allocated_bytes() >= before + 10 * 1000 * 16, "the sink has what the function made"
    del driver
    gc.collect()
    assert pyarrow.total_allocated_bytes() == before
    # What is refused is given back too.
    refused(lambda batch: {"id": compute.add(batch["id"], 1), "x": damaged(compute.add(batch["x"], 1.0), set_count("offset", -1))})
    gc.collect()
    assert pyarrow.total_allocated_bytes() == before


def run(program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(program), *flags], cwd=program.parent, capture_output=True, text=True, timeout=60)


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
import thalweg
from thalweg.testing import Driver

def look(batch):
    print(type(batch).__name__, len(batch), [type(capsule).__name__ for capsule in batch.__arrow_c_array__()])
    return batch

app = thalweg.Application("bare")
rows = app.table("in", {"id": "BIGINT"}, connector="single_file", path="unread", format="json")
rows.map_batches(look, {"id": "BIGINT"}).sink_rows("out", connector="stdout", format="json")
driver = Driver(app)
driver.rows_in("in", [{"id": 1}, {"id": None}])
print(driver.rows("out"))
"""


def test_pyarrow_is_not_needed(tmp_path: Path) -> None:
    program = tmp_path / "bare.py"
    program.write_text(WITHOUT_PYARROW)
    done = run(program)
    assert done.stdout == "Columns 2 ['PyCapsule', 'PyCapsule']\n[{'id': 1}, {'id': None}]\n", done.stderr


PROGRAM = """
import pyarrow.compute as compute
import thalweg

def double(batch):
    print(batch.num_rows, flush=True)
    return batch.set_column(1, "x", compute.multiply(batch["x"], 2.0))

app = thalweg.Application("files")
columns = {"id": "BIGINT NOT NULL", "x": "DOUBLE"}
rows = app.table("in", columns, connector="single_file", path="in.json", format="json")
rows.map_batches(double, columns).sink_rows("out", connector="single_file", path="out.json", format="json", type="sink")

if __name__ == "__main__":
    thalweg.run(app)
"""


@pytest.mark.parametrize("parallelism", ["1", "3"])
def test_a_file_goes_through_in_large_batches(tmp_path: Path, parallelism: str) -> None:
    rows = 30_000
    (tmp_path / "in.json").write_text("".join(f'{{"id": {row}, "x": {row}.5}}\n' for row in range(rows)))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = run(program, "--parallelism", parallelism)
    assert done.returncode == 0, done.stderr
    sizes = [int(size) for size in done.stdout.split()]
    # They begin small and grow as fast as the function shows that it is; how fast that is, is the machine's.
    assert sum(sizes) == rows and max(sizes) <= 8192 and len(sizes) <= rows // 100, sizes
    out = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert out == [{"id": row, "x": 2 * row + 1.0} for row in range(rows)]
    assert "batches, double" in run(program, "explain").stdout


def test_what_sql_answers_stays_columns() -> None:
    """Through SQL, a function of batches, and SQL again, into a sink of rows."""

    def doubled(batch: Any) -> Any:
        assert batch.schema.names == ["kind", "total"], "and no column of the engine's"
        return {"kind": batch["kind"], "twice": compute.multiply(batch["total"], 2)}

    application = thalweg.Application("columns")
    columns = {"kind": "TEXT NOT NULL", "n": "BIGINT", "at": "TIMESTAMP NOT NULL"}
    options = {"connector": "single_file", "path": "unread", "format": "json"}
    rows = application.table("in", columns, event_time="at", **options)
    totals = rows.sql_rows("SELECT kind, sum(n) AS total FROM stream GROUP BY kind, tumble(INTERVAL '10 seconds')")
    twice = totals.map_batches(doubled, {"kind": "TEXT NOT NULL", "twice": "BIGINT"})
    names = application.table("names", {"kind": "TEXT", "name": "TEXT"}, **options)
    counted = application.sql_rows(
        "SELECT kind, count(*) AS windows, max(twice) AS most FROM twice GROUP BY kind, tumble(INTERVAL '1 minute')",
        twice=twice,
    )
    counted.sink_rows("out", connector="single_file", path="unwritten", type="sink", format="json")
    names.sql_rows("SELECT name || '!' AS loud FROM stream").sink_rows(
        "names", connector="single_file", path="unwritten too", type="sink", format="json"
    )
    driver = Driver(application)
    driver.rows_in("names", [{"kind": "a", "name": "ann"}])
    at = lambda seconds: datetime(2024, 1, 1, 12, 0, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    for n, seconds in ((1, 0), (2, 9), (3, 10), (4, 59), (5, 65), (6, 130)):
        driver.rows_in("in", [{"kind": "a", "n": n, "at": at(seconds)}])
        if n == 3:
            driver.restart()
    assert driver.rows("out") == [{"kind": "a", "windows": 3, "most": 8}, {"kind": "a", "windows": 1, "most": 10}]
    assert driver.rows("names") == [{"loud": "ann!"}]


def test_rows_that_change_are_no_batches() -> None:
    application = thalweg.Application("changes")
    rows = application.table("in", NUMBERS, connector="single_file", path="unread", format="json")
    counts = rows.sql_rows("SELECT x, count(*) AS c FROM stream GROUP BY x")
    counts.sink_rows("out", connector="single_file", path="unwritten", type="sink", format="json")
    with pytest.raises(thalweg.EngineError, match="the rows of this query change"):
        Driver(application)
