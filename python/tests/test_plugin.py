"""What the package adds to pytest, and what a driver gives to tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable

import pytest

import thalweg
from processes import run
from thalweg.testing import Driver

TEST = """
import thalweg

def test_words(thalweg_driver):
    app = thalweg.Application("words")
    app.source("in", connector="tcp", decoder=thalweg.decode_utf8).sink("out", connector="stdout")
    driver, other = thalweg_driver(app), thalweg_driver(app)
    driver.frame("in", "a")
    assert (driver.text("out"), other.text("out")) == ("a", "")
"""


def test_the_fixture_is_there_where_the_package_is_installed(tmp_path: Path) -> None:
    (tmp_path / "test_words.py").write_text(TEST)
    code, out, err = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_words.py", folder=tmp_path)
    assert (code, "1 passed" in out) == (0, True), out + err


def test_nothing_but_the_plugin_needs_pytest() -> None:
    program = "import sys; sys.modules['pytest'] = None; import thalweg.testing; thalweg.testing.Driver"
    assert run("-c", program) == (0, "", "")


def test_the_fixture_makes_drivers(thalweg_driver: Callable[[thalweg.Application], Driver]) -> None:
    app = thalweg.Application("app")
    app.source("in", connector="tcp").sink("out", connector="stdout")
    driver = thalweg_driver(app)
    driver.frame("in", "x")
    assert driver.frames("out") == [b"x"]


def echo(decoder: Any = None, **options: Any) -> Driver:
    app = thalweg.Application("echo")
    app.source("in", connector="tcp", decoder=decoder, **options).sink("out", connector="stdout", encoder=repr)
    return Driver(app)


def test_records_are_given_past_the_decoder() -> None:
    driver = echo(int)
    thing = {"not": ["bytes"]}
    driver.record("in", thing)
    driver.frame("in", "7")
    driver.record("in", None)
    driver.restart()
    driver.record("in", (1, 2))
    assert driver.frames("out") == [b"{'not': ['bytes']}", b"7", b"(1, 2)"], "None is nothing, as from a decoder"


def test_a_record_for_a_decoder_of_many_is_one() -> None:
    @thalweg.decoder_multi
    def split(frame: bytes) -> list[bytes]:
        return frame.split()

    driver = echo(split)
    driver.record("in", [1, 2])
    driver.frame("in", "a b")
    assert driver.frames("out") == [b"[1, 2]", b"b'a'", b"b'b'"]


def test_records_have_the_times_of_the_program() -> None:
    class Count:
        def initial(self) -> int:
            return 0

        def update(self, record: Any, count: int) -> int:
            return count + 1

        def combine(self, count: int, other: int) -> int:
            return count + other

        def output(self, key: Any, window: thalweg.Window, count: int) -> str:
            return f"{key} {window.start:g} {count}"

    app = thalweg.Application("timed")
    records = app.source("in", connector="tcp", decoder=thalweg.decode_json).with_event_time(lambda pair: pair[1])
    counts = records.key_by(lambda pair: pair[0]).window(thalweg.tumble(10)).aggregate("counts", Count)
    counts.sink("out", connector="stdout")
    driver = Driver(app)
    for pair in (("a", 1), ("a", 9), ("b", 11)):
        driver.record("in", pair)
    assert driver.frames("out") == [b"a 0 2"]
    driver.watermark("in", 20)
    assert driver.frames("out") == [b"a 0 2", b"b 10 1"]


def test_a_frame_that_looks_like_a_record_is_a_frame() -> None:
    driver = echo()
    driver.record("in", 5)
    driver.frame("in", b"\x00thalweg record 1")
    assert driver.frames("out") == [b"5", b"b'\\x00thalweg record 1'"]


def test_a_record_to_nobody_is_refused() -> None:
    driver = echo()
    with pytest.raises(thalweg.EngineError, match="'nobody'"):
        driver.record("nobody", 1)
    assert not driver._records, "nothing is kept of it"
    with pytest.raises(TypeError, match="an Application is driven, not 5"):
        Driver(5)  # type: ignore[arg-type]
