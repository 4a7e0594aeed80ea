"""Aggregations over windows."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import thalweg
from thalweg.testing import Driver


class Total:
    """Sums up numbers."""

    def initial(self) -> int:
        return 0

    def update(self, record: Any, total: int) -> int:
        return total + record[1]

    def combine(self, total: int, other: int) -> int:
        return total + other

    def output(self, key: Any, window: thalweg.Window, total: int) -> str:
        return f"{key!r} {window.start:g}..{window.end:g}: {total}\n"


def driver_of(windows: Any, aggregation: Any, key: Callable[[Any], Any] = lambda record: record[0]) -> Driver:
    """Records are `[key, number, time]`."""
    application = thalweg.Application("windows")
    records = application.source("in", connector="tcp", decoder=thalweg.decode_json)
    timed = records.with_event_time(lambda record: record[2])
    results = timed.key_by(key).window(windows).aggregate("totals", aggregation)
    results.sink("out", connector="stdout", encoder=str)
    return Driver(application)


def totals(windows: Any, records: list[str], aggregation: Any = Total) -> list[str]:
    answers = []
    for restarts in (False, True):
        driver = driver_of(windows, aggregation)
        for record in records:
            driver.frame("in", record)
            if restarts:
                driver.restart()
        driver.end()
        answers.append(driver.text("out").splitlines())
    assert answers[0] == answers[1], "a restart changes the answer"
    return answers[0]


def test_windows_that_touch() -> None:
    records = ['["a", 1, 0]', '["b", 2, 5]', '["a", 4, 9.5]', '["a", 8, 12]', '["b", 16, 3]', '["a", 32, 25]']
    # The second of b comes when its window is closed: it is late.
    expected = ["'a' 0..10: 5", "'b' 0..10: 2", "'a' 10..20: 8", "'a' 20..30: 32"]
    assert totals(thalweg.tumble(10), records) == expected
    assert totals(thalweg.tumble(timedelta(seconds=10)), records) == expected


def test_windows_that_overlap() -> None:
    answer = totals(thalweg.hop(5, 10), ['["a", 1, 1]', '["a", 2, 6]', '["a", 4, 12]'])
    assert answer == ["'a' -5..5: 1", "'a' 0..10: 3", "'a' 5..15: 6", "'a' 10..20: 4"]


def test_sessions() -> None:
    answer = totals(thalweg.session(5), ['["a", 1, 1]', '["a", 2, 4]', '["a", 4, 8.5]', '["a", 8, 20]'])
    assert answer == ["'a' 1..13.5: 7", "'a' 20..25: 8"]


def test_windows_of_so_many_records() -> None:
    records = ['["a", 1, 1]', '["b", 2, 2]', '["a", 4, 3]', '["a", 8, 4]']
    assert totals(thalweg.count(2), records) == ["'a' 3..3: 5"]
    assert sorted(totals(thalweg.count(2, incomplete=True), records)) == ["'a' 3..3: 5", "'a' 4..4: 8", "'b' 2..2: 2"]


def test_the_watermark_closes_windows() -> None:
    driver = driver_of(thalweg.tumble(10), Total)
    driver.frame("in", '["a", 1, 1]')
    driver.watermark("in", 9.999)
    assert driver.text("out") == ""
    driver.watermark("in", 10)
    assert driver.text("out") == "'a' 0..10: 1\n"


class Seen:
    """An accumulator is any object, and one that is changed is given back."""

    def initial(self) -> list[Any]:
        return []

    def update(self, record: Any, seen: list[Any]) -> list[Any]:
        seen.append(record[1])
        return seen

    def combine(self, seen: list[Any], other: list[Any]) -> list[Any]:
        return seen + other

    def output(self, key: Any, window: thalweg.Window, seen: list[Any]) -> str | None:
        return f"{key} {sorted(seen)}\n" if len(seen) > 1 else None


def test_accumulators_are_objects_and_none_is_no_result() -> None:
    records = ['["a", 1, 1]', '["a", 3, 2]', '["b", 9, 2]', '["a", 2, 3]']
    for windows in (thalweg.tumble(10), thalweg.session(10)):
        assert totals(windows, records, Seen()) == ["a [1, 2, 3]"]


class Latest:
    """Whose accumulator of no records is nothing."""

    def initial(self) -> None:
        return None

    def update(self, record: Any, latest: Any) -> Any:
        return max(record[1], latest or 0) or None

    def combine(self, latest: Any, other: Any) -> Any:
        return max(latest or 0, other or 0) or None

    def output(self, key: Any, window: thalweg.Window, latest: Any) -> str:
        return f"{key} {latest}\n"


def test_an_accumulator_may_begin_as_none() -> None:
    assert totals(thalweg.tumble(10), ['["a", 0, 1]', '["b", 0, 1]', '["a", 5, 2]'], Latest) == ["a 5", "b None"]


KEYS = ["a", b"a", 1, -(2**63), 2**70, -(2**70), 1.5, None, ("a", (1, b"", 2**64)), "", "ü"]


def test_keys_come_back_as_they_were() -> None:
    driver = driver_of(thalweg.tumble(10), Total, lambda record: KEYS[record[1]])
    for index in range(len(KEYS)):
        driver.frame("in", f"[0, {index}, 1]")
    driver.restart()
    driver.end()
    lines = [f"{key!r} 0..10: {index}" for index, key in enumerate(KEYS)]
    assert sorted(driver.text("out").splitlines()) == sorted(lines)


def failing(**methods: Any) -> str:
    aggregation = type("Broken", (Total,), methods)
    driver = driver_of(thalweg.tumble(10), aggregation)
    with pytest.raises(thalweg.EngineError) as raised:
        driver.frame("in", '["a", 7, 1]')
        driver.frame("in", '["a", 8, 2]')
        driver.frame("in", '["a", 7, 20]')
    assert raised.value.code == "function-failed", str(raised.value)
    return str(raised.value)


def broken(*_: Any) -> Any:
    raise RuntimeError("enough")


@pytest.mark.parametrize(
    ("method", "record"),
    [("update", "the record was ['a', 7, 1]"), ("combine", "the record was 7"), ("output", "the record was 15")],
)
def test_an_exception_says_what_where_and_with_which_record(method: str, record: str) -> None:
    text = failing(**{method: broken})
    assert f"'{method}' of window 'totals' raised RuntimeError: enough" in text
    assert "in broken" in text and "Traceback" in text
    assert record in text, text


def test_an_exception_of_what_makes_the_first_accumulator_is_told() -> None:
    text = failing(initial=broken)
    assert "'initial' of window 'totals' raised RuntimeError: enough" in text


def test_an_accumulator_that_is_not_given_back_is_refused() -> None:
    text = failing(update=lambda self, record, total: None)
    assert "'update' of window 'totals' gave None, and not the accumulator" in text
    assert "the record was ['a', 7, 1]" in text


def test_an_accumulator_that_cannot_be_pickled_is_refused() -> None:
    aggregation = type("Broken", (Total,), {"update": lambda self, record, total: lambda: total})
    driver = driver_of(thalweg.tumble(10), aggregation)
    with pytest.raises(thalweg.EngineError, match="(?i)pickle"):
        driver.frame("in", '["a", 7, 1]')
        driver.frame("in", '["a", 7, 20]')


def test_mistakes_are_told_where_they_are_made() -> None:
    application = thalweg.Application("wrong")
    keyed = application.source("in", connector="tcp").key_by(len)
    with pytest.raises(TypeError, match="has no 'initial'"):
        keyed.window(thalweg.tumble(1)).aggregate("x", type("Half", (), {}))
    with pytest.raises(TypeError, match="windows are 'tumble'"):
        keyed.window(5)  # type: ignore[arg-type]
    for wrong in (0, -1, True, "5", float("nan")):
        with pytest.raises(ValueError, match="seconds above 0"):
            thalweg.tumble(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        thalweg.count(0)


def test_windows_that_the_engine_refuses_are_refused() -> None:
    with pytest.raises(thalweg.EngineError, match="invalid-window"):
        driver_of(thalweg.tumble(1e-12), Total)


PROGRAM = """
import thalweg

class Numbers:
    def initial(self): return set()
    def update(self, n, seen): return seen | {n}
    def combine(self, seen, other): return seen | other
    def output(self, key, window, seen): return f"{key} {window.start:.0f} {len(seen)}"

application = thalweg.Application("windows")
numbers = application.source("in", connector="single_file", path="numbers.txt", type="source", decoder=lambda frame: int(frame))
timed = numbers.with_event_time(lambda n: n)
results = timed.key_by(lambda n: n % 7).window(thalweg.hop(50, 100)).aggregate("seen", Numbers)
results.sink("out", connector="stdout")
"""


def test_windows_on_many_threads(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("".join(f"{n}\n" for n in range(5000)))
    (tmp_path / "app.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "thalweg", "run", "app.py", "--parallelism", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    windows = Counter((n % 7, start) for n in range(5000) for start in (n // 50 * 50, n // 50 * 50 - 50))
    assert sorted(done.stdout.splitlines()) == sorted(f"{key} {start} {count}" for (key, start), count in windows.items())
