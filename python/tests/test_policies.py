"""What becomes of records whose function raises."""

from __future__ import annotations

import gc
import json
import pickle
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

import thalweg
from thalweg.testing import Driver

Build = Callable[[thalweg.Application, thalweg.Stream, Any], thalweg.Stream]


def seventh(number: int) -> float:
    return 7 / number


def several(number: int) -> Any:
    yield number
    yield 7 / number


def positive(number: int) -> bool:
    return 7 / number > 0


def key(number: int) -> Any:
    return [] if number == 0 else number


class Sum:
    def __init__(self) -> None:
        self.of = 0.0


def add(number: int, total: Sum) -> float:
    total.of += 1
    total.of += 7 / number
    return total.of


def add_and_list(number: int, total: Sum) -> Any:
    yield "first"
    yield add(number, total)


# Each step, with the records that it gives for 7, 0 and -1.
STEPS: dict[str, tuple[Build, list[Any]]] = {
    "map 'seventh'": (lambda app, s, e: s.map(seventh, on_error=e), [1.0, -7.0]),
    "flat_map 'several'": (lambda app, s, e: s.flat_map(several, on_error=e), [7, 1.0, 0, -1, -7.0]),
    "filter 'positive'": (lambda app, s, e: s.filter(positive, on_error=e), [7]),
    "key_by 'key'": (
        lambda app, s, e: s.key_by(key, on_error=e).stateful("itself", lambda n, _: n, state=list),
        [7, -1],
    ),
    "with_event_time 'seventh'": (lambda app, s, e: s.with_event_time(seventh, on_error=e), [7, -1]),
    "stateful 'sums'": (
        # What 0 had added before it failed stays in the state.
        lambda app, s, e: s.key_by(lambda _: 0).stateful("sums", add, state=Sum, on_error=e),
        [2.0, -3.0],
    ),
    "stateful 'lists'": (
        lambda app, s, e: s.key_by(lambda _: 0).stateful("lists", add_and_list, state=Sum, many=True, on_error=e),
        ["first", 2.0, "first", "first", -3.0],
    ),
}


def built(build: Build, on_error: Any) -> tuple[thalweg.Application, thalweg.DeadLetters | None]:
    app = thalweg.Application("policies")
    letters = app.dead_letters() if on_error == "letters" else None
    if letters is not None:
        letters.sink("dead", connector="stdout", encoder=lambda letter: pickle.dumps(letter))
    numbers = app.source("numbers", connector="tcp", decoder=int)
    build(app, numbers, letters or on_error).sink("out", connector="stdout", encoder=lambda record: json.dumps(record))
    return app, letters


def results(driver: Driver) -> list[Any]:
    return [json.loads(frame) for frame in driver.frames("out")]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_fails_the_job_unless_it_is_told_otherwise(step: str) -> None:
    for on_error in ("fail", None):
        driver = Driver(built(STEPS[step][0], on_error)[0])
        driver.frame("numbers", "7")
        with pytest.raises(thalweg.EngineError, match=f"{step.split()[0]} '.*' raised"):
            driver.frame("numbers", "0")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_skips(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    build, expected = STEPS[step]
    driver = Driver(built(build, "skip")[0])
    for number in ("7", "0", "-1"):
        driver.frame("numbers", number)
    assert results(driver) == expected
    assert driver.left_out() == {step: 1}
    driver.frame("numbers", "0")
    assert driver.left_out() == {step: 2}
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {step} left out a record: "), said
    assert said.count("warning") == 1, "only the first is told in full"
    assert "Traceback (most recent call last)" in said or "is no key" in said, said
    assert "policies.py" not in said.replace("test_policies.py", ""), "frames of the guard are not the user's"
    assert "\n  the record was 0\n" in said


@pytest.mark.parametrize("step", STEPS)
def test_a_step_gives_dead_letters(step: str) -> None:
    build, expected = STEPS[step]
    driver = Driver(built(build, "letters")[0])
    for number in ("7", "0", "-1"):
        driver.frame("numbers", number)
    assert results(driver) == expected
    assert driver.left_out() == {}
    (letter,) = map(pickle.loads, driver.frames("dead"))
    assert type(letter) is thalweg.DeadLetter
    assert letter.step == step and letter.record == 0
    if step == "key_by 'key'":
        assert letter.error.startswith("TypeError: a 'list' is no key: keys are str, bytes")
    else:
        assert letter.error == "ZeroDivisionError: division by zero"
        assert letter.traceback.splitlines()[0] == "Traceback (most recent call last):"
        assert "7 / number" in letter.traceback and letter.traceback.endswith(letter.error)


def test_decoders_and_encoders_have_policies() -> None:
    app = thalweg.Application("ends")
    letters = app.dead_letters("unread")
    letters.map(lambda letter: f"{letter.step}: {letter.error}: {letter.record!r}").sink("dead", connector="stdout")
    texts = app.source("texts", connector="tcp", decoder=thalweg.decode_utf8, on_error=letters)
    texts.sink("numbers", connector="stdout", encoder=lambda text: str(int(text)), on_error=letters)
    wrong = texts.map(lambda text: {"surrogate": "\ud800", "none": None, "number": 3}.get(text, text))
    wrong.flat_map(lambda x: [x]).sink("same", connector="stdout", on_error=letters)
    driver = Driver(app)
    for frame in (b"1", b"\xff", b"2", b"x"):
        driver.frame("texts", frame)
    assert driver.frames("numbers") == [b"1", b"2"]
    assert driver.frames("dead") == [
        b"source 'texts': UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte: b'\\xff'",
        b"sink 'numbers': ValueError: invalid literal for int() with base 10: 'x': 'x'",
    ]
    driver.frame("texts", "surrogate")
    driver.frame("texts", "number")
    dead = driver.frames("dead")[2:]
    assert any(b"sink 'same': UnicodeEncodeError: " in letter for letter in dead), dead
    assert b"sink 'same': TypeError: the sink has no encoder, and the record is of type 'int': give it one, 'encode_json' say: 3" in dead, dead


def test_a_decoder_of_many_skips_the_rest_of_a_frame() -> None:
    @thalweg.decoder_multi(on_error="skip")
    def numbers(frame: bytes) -> Any:
        return (int(part) for part in frame.split())

    app = thalweg.Application("many")
    app.source("in", connector="tcp", decoder=numbers).sink("out", connector="stdout", encoder=str)
    driver = Driver(app)
    driver.frame("in", "1 2 x 3")
    driver.frame("in", "4")
    assert driver.frames("out") == [b"1", b"2", b"4"]
    assert driver.left_out() == {"source 'in'": 1}


def test_decorators_take_policies() -> None:
    app = thalweg.Application("decorated")
    letters = app.dead_letters()

    @thalweg.decoder(on_error="skip")
    def decode(frame: bytes) -> int:
        return int(frame)

    @thalweg.computation(on_error="skip")
    def invert(number: int) -> float:
        return 1 / number

    @thalweg.key_extractor(on_error="skip", name="small")
    def whole(number: float) -> Any:
        return number if number < 1 else None if number == 1 else object()

    @thalweg.state_computation(state=list, on_error=letters)
    def once(number: float, seen: list[float]) -> float:
        if seen:
            raise LookupError("again")
        seen.append(number)
        return number

    @thalweg.encoder(on_error="skip")
    def encode(number: float) -> str:
        return {1.0: "one", 0.25: "quarter"}[number]

    letters.map(lambda letter: letter.error).sink("dead", connector="stdout")
    numbers = app.source("in", connector="tcp", decoder=decode).to(invert)
    numbers.map(lambda n: 2.0 if n == 1 / 3 else n).key_by(whole).to(once).sink("out", connector="stdout", encoder=encode)
    driver = Driver(app)
    for frame in ("1", "0", "x", "4", "1", "3", "5"):
        driver.frame("in", frame)
    assert driver.frames("out") == [b"one", b"quarter"]
    assert driver.frames("dead") == [b"LookupError: again"]
    assert driver.left_out() == {"source 'in'": 1, "map 'invert'": 1, "key_by 'small'": 1, "sink 'out'": 1}


def test_what_is_given_with_the_step_outranks_the_decorator() -> None:
    @thalweg.computation(on_error="skip")
    def fail(_: Any) -> Any:
        raise RuntimeError("no")

    app = thalweg.Application("outranked")
    app.source("in", connector="tcp").map(fail, on_error="fail").sink("out", connector="stdout")
    with pytest.raises(thalweg.EngineError, match="map 'fail' raised RuntimeError: no"):
        Driver(app).frame("in", b"")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
@pytest.mark.parametrize("on_error", ["skip", "letters"])
def test_what_is_not_about_a_record_is_not_passed_over(raised: type[BaseException], on_error: str) -> None:
    def fail(number: int) -> Any:
        raise raised("enough")

    for step in (
        lambda app, s, e: s.map(fail, on_error=e),
        lambda app, s, e: s.flat_map(lambda n: (fail(n) for _ in "x"), on_error=e),
        lambda app, s, e: s.filter(fail, on_error=e),
    ):
        driver = Driver(built(step, on_error)[0])
        with pytest.raises((thalweg.EngineError, raised), match="enough"):
            driver.frame("numbers", "1")


def test_wrong_results_are_failures_too() -> None:
    def build(app: thalweg.Application, numbers: thalweg.Stream, on_error: Any) -> thalweg.Stream:
        listed = numbers.flat_map(lambda n: [n] if n > 1 else n if n else "text", on_error=on_error)
        return listed.with_event_time(lambda n: "noon" if n == 2 else n, on_error=on_error)

    driver = Driver(built(build, "letters")[0])
    for number in "0123":
        driver.frame("numbers", number)
    assert results(driver) == [3]
    assert [pickle.loads(letter).error for letter in driver.frames("dead")] == [
        "TypeError: it gave 'text' of type 'str', not a list or another iterable",
        "TypeError: it gave 1 of type 'int', not a list or another iterable",
        "TypeError: it gave 'noon' of type 'str', not seconds since 1970 or a datetime with a time zone",
    ]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        return "<mine>"


class Unspeakable(Unpicklable):
    def __repr__(self) -> str:
        raise RuntimeError("nor this")


class Unopened(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nor that")


def test_a_letter_can_be_written_of_any_record() -> None:
    # A letter is written down where it branches off; its record may be what cannot be.
    made: list[Any] = [Unpicklable(), Unspeakable(), "x" * 1000, Unopened(3, "gone")]
    app = thalweg.Application("letters")
    letters = app.dead_letters()
    letters.sink("dead", connector="stdout", encoder=pickle.dumps)
    records = app.source("in", connector="tcp", decoder=lambda frame: made[int(frame)])

    def silent(record: Any) -> Any:
        raise Silent

    records.map(silent, on_error=letters).sink("out", connector="stdout", encoder=str)
    driver = Driver(app)
    for index in range(len(made)):
        driver.frame("in", str(index))
    dead = [pickle.loads(frame) for frame in driver.frames("dead")]
    assert [letter.record for letter in dead] == ["<mine>", "one that cannot be shown", "x" * 1000, "Unopened('gone')"]
    assert {letter.error for letter in dead} == {"Silent"}


def test_a_stream_of_letters_has_any_number_of_readers() -> None:
    app = thalweg.Application("read")
    letters = app.dead_letters()
    letters.sink("dead", connector="stdout", encoder=lambda letter: f"{letter.step} {letter.record}")
    letters.map(lambda letter: letter.error).sink("errors", connector="stdout", encoder=str)
    letters.key_by(lambda letter: letter.step).stateful(
        "rate", lambda letter, seen: seen.append(letter) or f"{letter.record} {len(seen)} {seen[0].error}", state=list
    ).sink("rate", connector="stdout", encoder=str)
    # A letter that fails a step is the record of another, and so is that.
    again, third = app.dead_letters("again"), app.dead_letters("third")
    letters.map(seventh, on_error=again).discard()
    again.map(seventh, on_error=third).discard()
    third.sink("third", connector="stdout", encoder=lambda letter: repr(letter.record.record.record))
    app.source("in", connector="tcp", decoder=int).map(seventh, on_error=letters).discard()
    driver = Driver(app)
    driver.frame("in", "0")
    driver.restart()
    driver.frame("in", "0")
    assert driver.frames("dead") == [b"map 'seventh' 0"] * 2
    assert driver.frames("errors") == [b"ZeroDivisionError: division by zero"] * 2
    assert driver.frames("rate") == [f"0 {count} ZeroDivisionError: division by zero".encode() for count in (1, 2)]
    assert driver.frames("third") == [b"0", b"0"]


def test_letters_survive_a_restart_once() -> None:
    driver = Driver(built(STEPS["stateful 'sums'"][0], "letters")[0])
    for number in ("7", "0"):
        driver.frame("numbers", number)
    driver.restart()
    driver.frame("numbers", "0")
    driver.end()
    assert [pickle.loads(letter).record for letter in driver.frames("dead")] == [0, 0]


def test_letters_have_the_event_time_of_their_record() -> None:
    class Count:
        def initial(self) -> int:
            return 0

        def update(self, record: Any, count: int) -> int:
            return count + 1

        def combine(self, count: int, other: int) -> int:
            return count + other

        def output(self, key: Any, window: thalweg.Window, count: int) -> str:
            return f"{window.start:g}: {count} failed"

    app = thalweg.Application("failures")
    letters = app.dead_letters()
    timed = app.source("in", connector="tcp", decoder=int).with_event_time(float)
    timed.map(lambda n: 1 // (n % 2), on_error=letters).sink("out", connector="stdout", encoder=str)
    letters.key_by(lambda letter: letter.step).window(thalweg.tumble(10)).aggregate("rate", Count).sink(
        "rate", connector="stdout"
    )
    driver = Driver(app)
    for second in (1, 2, 4, 11, 12, 31):
        driver.frame("in", str(second))
    assert driver.frames("rate") == [b"0: 2 failed", b"10: 1 failed"]


@pytest.mark.parametrize("through", ["nothing", "map", "filter", "flat_map", "all"])
def test_letters_may_come_before_event_times(through: str) -> None:
    # The engine gives event times only to what comes straight from a source: the letters stay among the
    # records until then, and move no watermark.
    app = thalweg.Application("early")
    letters = app.dead_letters()
    letters.map(lambda letter: f"{letter.step} {letter.record!r}").sink("dead", connector="stdout")
    times = app.source("in", connector="tcp", decoder=float, on_error=letters)
    if through in ("map", "all"):
        times = times.map(lambda n: n + 0)
    if through in ("filter", "all"):
        times = times.filter(lambda n: n > 0)
    if through in ("flat_map", "all"):
        times = times.flat_map(lambda n: [n])
    timed = times.with_event_time(lambda n: n if n != 5 else "five", on_error=letters)
    total = timed.key_by(lambda _: 0).window(thalweg.tumble(10)).aggregate("all", Listed)
    total.sink("out", connector="stdout")
    driver = Driver(app)
    for frame in ("x", "1", "y", "2", "5", "11", "z"):
        driver.frame("in", frame)
    driver.restart()
    driver.frame("in", "12")
    driver.end()
    assert driver.frames("out") == [b"[1.0, 2.0]", b"[11.0, 12.0]"]
    assert driver.frames("dead") == [
        b"source 'in' b'x'", b"source 'in' b'y'", b"with_event_time '<lambda>' 5.0", b"source 'in' b'z'",
    ]


class Listed:
    def initial(self) -> list[float]:
        return []

    def update(self, record: float, records: list[float]) -> list[float]:
        return [*records, record]

    def combine(self, records: list[float], others: list[float]) -> list[float]:
        return sorted(records + others)

    def output(self, key: Any, window: thalweg.Window, records: list[float]) -> str:
        return repr(records)


def totals(**methods: Callable[..., Any]) -> Any:
    """Sums numbers over windows, with these methods instead of its own."""

    class Totals:
        def initial(self) -> int:
            return 0

        def update(self, record: int, total: int) -> int:
            return total + record

        def combine(self, total: int, other: int) -> int:
            return total + other

        def output(self, key: Any, window: thalweg.Window, total: int) -> str:
            return f"{window.start:g}: {total}"

    return type("Totals", (Totals,), {name: staticmethod(method) for name, method in methods.items()})


def windowed(aggregation: Any, on_error: str, windows: thalweg.Windows) -> Driver:
    def build(app: thalweg.Application, numbers: thalweg.Stream, e: Any) -> thalweg.Stream:
        keyed = numbers.with_event_time(float).key_by(lambda n: n % 2)
        return keyed.window(windows).aggregate("totals", aggregation, on_error=e)

    return Driver(built(build, on_error)[0])


def refuse(number: int, total: int) -> int:
    if number in (3, 12):
        raise ValueError(f"not {number}")
    return total + number


@pytest.mark.parametrize("windows", [thalweg.tumble(10), thalweg.session(4.5)], ids=["tumble", "session"])
def test_a_window_goes_on_without_a_record_that_it_cannot_take_in(windows: thalweg.Windows) -> None:
    for on_error in ("skip", "letters"):
        driver = windowed(totals(update=refuse), on_error, windows)
        for number in (1, 3, 5):
            driver.frame("numbers", str(number))
        if on_error == "letters":
            assert driver.frames("dead") == [], "letters wait for the end of their window"
        else:
            assert driver.left_out() == {"aggregate 'totals'": 1}
        driver.restart()
        for number in (12, 40):
            driver.frame("numbers", str(number))
        driver.end()
        assert [line.split(": ")[1] for line in results(driver)] == ["6", "40"], "and none of 12, which had no other"
        if on_error == "letters":
            letters = [pickle.loads(letter) for letter in driver.frames("dead")]
            assert [(letter.step, letter.error, letter.record) for letter in letters] == [
                ("aggregate 'totals'", "ValueError: not 3", 3),
                ("aggregate 'totals'", "ValueError: not 12", 12),
            ]
            assert "refuse" in letters[0].traceback


def test_each_window_that_a_record_is_in_has_its_letter() -> None:
    driver = windowed(totals(update=refuse), "letters", thalweg.hop(5, 10))
    for number in ("1", "3", "31"):
        driver.frame("numbers", number)
    driver.end()
    assert results(driver) == ["-5: 1", "0: 1", "25: 31", "30: 31"]
    assert [pickle.loads(letter).record for letter in driver.frames("dead")] == [3, 3]


def test_a_window_keeps_no_more_letters_than_have_room() -> None:
    def refuse_all(number: int, total: int) -> int:
        raise ValueError("x" * 180)

    def build(app: thalweg.Application, numbers: thalweg.Stream, e: Any) -> thalweg.Stream:
        keyed = numbers.flat_map(range).with_event_time(lambda _: 0.0).key_by(lambda n: n % 2)
        return keyed.window(thalweg.tumble(10)).aggregate("totals", totals(update=refuse_all), on_error=e)

    driver = Driver(built(build, "letters")[0])
    for count in (8000, 10):
        driver.frame("numbers", str(count))
        driver.restart()
    driver.end()
    letters = [pickle.loads(letter) for letter in driver.frames("dead")]
    assert results(driver) == []
    kept = [letter.record for letter in letters if letter.record is not None]
    assert 500 < len(kept) < 8010 and kept == [*range(0, len(kept), 2), *range(1, len(kept), 2)], "the first ones of each key"
    assert [letter.error for letter in letters if letter.record is None] == [
        f"{4005 - len(kept) // 2} more records failed in this window, beyond the letters that it can keep"
    ] * 2


def test_every_method_of_an_aggregation_has_the_policy() -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("enough")

    # What the letters are about. Of accumulators that cannot be combined one goes on, whichever it is.
    for method, records in {"initial": [2, 4, 6], "update": [2, 4, 6], "combine": [2, 4, 6], "output": [12]}.items():
        driver = windowed(totals(**{method: broken}), "letters", thalweg.tumble(10))
        for number in ("2", "4"):
            driver.frame("numbers", number)
        # What is known so far goes on to the window, and what comes later is combined with it.
        driver.restart()
        driver.frame("numbers", "6")
        driver.end()
        letters = [pickle.loads(letter) for letter in driver.frames("dead")]
        went_on = [int(line.removeprefix("0: ")) for line in results(driver)]
        assert sorted([*went_on, *(letter.record for letter in letters)]) == records, method
        assert {letter.error for letter in letters} == {"RuntimeError: enough"}
        assert len(went_on) == (1 if method == "combine" else 0)
    driver = windowed(totals(update=lambda record, total: None), "letters", thalweg.tumble(10))
    driver.frame("numbers", "2")
    driver.end()
    (letter,) = map(pickle.loads, driver.frames("dead"))
    assert letter.error == "TypeError: it gave None, and not the accumulator"


def test_an_iterator_that_has_raised_is_not_asked_again() -> None:
    class Going:
        def __init__(self) -> None:
            self.asked = 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> int:
            self.asked += 1
            if self.asked == 3:
                raise LookupError("once")
            if self.asked == 9:
                raise StopIteration
            return self.asked

    driver = Driver(built(lambda app, s, e: s.flat_map(lambda n: Going(), on_error=e), "letters")[0])
    driver.frame("numbers", "7")
    assert results(driver) == [1, 2]
    assert [pickle.loads(letter).record for letter in driver.frames("dead")] == [7]


def test_what_makes_a_state_has_the_policy_of_the_step() -> None:
    made = []

    def make() -> list[int]:
        made.append(len(made))
        if len(made) < 3:
            raise OSError("not yet")
        return []

    def build(app: thalweg.Application, numbers: thalweg.Stream, e: Any) -> thalweg.Stream:
        return numbers.key_by(lambda n: 0).stateful("seen", lambda n, seen: n, state=make, on_error=e)

    driver = Driver(built(build, "letters")[0])
    for number in "5678":
        driver.frame("numbers", number)
    assert results(driver) == [7, 8] and made == [0, 1, 2]
    letters = [pickle.loads(letter) for letter in driver.frames("dead")]
    assert [(letter.error, letter.record) for letter in letters] == [("OSError: not yet", 5), ("OSError: not yet", 6)]


def halves(batch: Any) -> Any:
    """Refuses batches with a zero, and gives nonsense for those with a one."""
    numbers = batch.column("n").to_pylist()
    if 1 in numbers:
        return {"wrong": numbers}
    return {"half": [14 // number / 2 for number in numbers if number != 3]}


class Odd(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Odd):
    pass


def test_exceptions_that_cannot_be_shown_are_about_a_record_too() -> None:
    def parse(number: int) -> int:
        if number == 1:
            raise SyntaxError("no", ("f", 1, 1, ["text"], 1, 1))  # type: ignore[arg-type]
        if number == 2:
            raise Nameless
        return number

    driver = Driver(built(lambda app, s, e: s.map(parse, on_error=e), "letters")[0])
    for number in "0123":
        driver.frame("numbers", number)
    assert results(driver) == [0, 3]
    letters = [pickle.loads(letter) for letter in driver.frames("dead")]
    assert [letter.record for letter in letters] == [1, 2] and all("in parse" in letter.traceback for letter in letters)
    assert letters[0].error.startswith("SyntaxError: no") and letters[1].error == "an exception"


@pytest.mark.parametrize("on_error", ["fail", "skip", "letters"])
def test_a_batch_that_fails(on_error: str) -> None:
    def build(app: thalweg.Application, numbers: thalweg.Stream, e: Any) -> thalweg.Stream:
        rows = numbers.with_event_time(float).map(lambda n: {"n": n}).rows({"n": "BIGINT"})
        return rows.map_batches(halves, {"half": "DOUBLE"}, on_error=e).records().map(lambda row: row["half"])

    driver = Driver(built(build, on_error)[0])
    driver.frame("numbers", "7")
    if on_error == "fail":
        with pytest.raises(thalweg.EngineError, match="map_batches 'halves' raised ZeroDivisionError"):
            driver.frame("numbers", "0")
        return
    for number in "0123":
        driver.frame("numbers", number)
    assert results(driver) == [1.0, 3.5]
    if on_error == "skip":
        assert driver.left_out() == {"map_batches 'halves'": 3}
        return
    letters = [pickle.loads(letter) for letter in driver.frames("dead")]
    assert [letter.record.to_pylist() for letter in letters] == [[{"n": 0}], [{"n": 1}], [{"n": 3}]]
    assert letters[0].error.startswith("ZeroDivisionError")
    assert letters[1].error == "TypeError: it gave no column 'half', only 'wrong'"
    assert letters[2].error == "TypeError: it gave 0 rows for a batch of 1"


class Order(NamedTuple):
    name: str
    price: float


ORDERS = [Order("a", 1.5), ("b", 2), Order("c", "dear"), {"name": "d", "price": 4.0}, Order(None, 5.0), Order("f", 6)]  # type: ignore[arg-type]


@pytest.mark.parametrize("through", ["rows", "sink_rows"])
@pytest.mark.parametrize("on_error", ["fail", "skip", "letters"])
def test_records_that_do_not_fit_their_columns(through: str, on_error: str) -> None:
    app = thalweg.Application("fit")
    letters = app.dead_letters() if on_error == "letters" else None
    policy = letters or on_error
    if letters is not None:
        letters.sink("dead", connector="stdout", encoder=pickle.dumps)
    orders = app.source("in", connector="tcp", decoder=lambda frame: ORDERS[int(frame)])
    options = {"connector": "single_file", "path": "unwritten", "type": "sink", "format": "json"}
    if through == "rows":
        orders.rows(Order, on_error=policy).sink_rows("out", **options)  # type: ignore[arg-type]
    else:
        orders.sink_rows("out", Order, on_error=policy, **options)  # type: ignore[arg-type]
    driver = Driver(app)
    if on_error == "fail":
        with pytest.raises(thalweg.EngineError, match="the record has no 'name', which is a column of type TEXT NOT NULL"):
            for number in range(3):
                driver.frame("in", str(number))
        return
    for number in range(len(ORDERS)):
        driver.frame("in", str(number))
    assert [row["name"] for row in driver.rows("out")] == ["a", "d", "f"]
    if on_error == "skip":
        assert driver.left_out() == {f"{through} 'Order'" if through == "rows" else "sink_rows 'out'": 3}
        return
    dead = [pickle.loads(letter) for letter in driver.frames("dead")]
    assert [letter.record for letter in dead] == [("b", 2), Order("c", "dear"), Order(None, 5.0)]  # type: ignore[arg-type]
    assert dead[1].error == (
        "TypeError: it has no place among the rows: "
        "the column 'price' is DOUBLE NOT NULL, and the record has 'dear' of type 'str'"
    )


def test_many_records_are_tried_on_their_columns() -> None:
    app = thalweg.Application("many")
    numbers = app.source("in", connector="tcp", decoder=int).flat_map(range)
    rows = numbers.map(lambda n: {"n": n if n % 700 else str(n)}).rows({"n": "BIGINT"}, on_error="skip")
    rows.sink_rows("out", connector="single_file", path="unwritten", type="sink", format="json")
    driver = Driver(app)
    driver.frame("in", "5000")
    assert [row["n"] for row in driver.rows("out")] == [n for n in range(5000) if n % 700]
    assert driver.left_out() == {"rows 'columns'": 8}


def test_large_records_are_tried_without_being_kept() -> None:
    app = thalweg.Application("large")
    numbers = app.source("in", connector="tcp", decoder=int).flat_map(range)
    body = b"x" * (1 << 26)
    rows = numbers.map(lambda n: {"n": n, "body": body}).rows({"n": "BIGINT", "body": "BYTEA"}, on_error="skip")
    rows.sql_rows("SELECT n FROM stream").sink_rows("out", connector="single_file", path="unwritten", type="sink", format="json")
    driver = Driver(app)
    for _ in range(8):
        driver.frame("in", "5")
    assert len(driver.rows("out")) == 40, "together they are more than a column holds"


def test_a_decorated_function_of_batches_has_a_policy() -> None:
    app = thalweg.Application("decorated")

    @thalweg.computation(batch=True, columns={"half": "DOUBLE"}, on_error="skip")
    def halve(batch: Any) -> Any:
        return halves(batch)

    rows = app.source("numbers", connector="tcp", decoder=lambda frame: {"n": int(frame)}).rows({"n": "BIGINT"})
    rows.to(halve).records().sink("out", connector="stdout", encoder=repr)
    driver = Driver(app)
    for number in "07":
        driver.frame("numbers", number)
    assert driver.frames("out") == [b"{'half': 1.0}"]


def test_letters_have_the_event_time_of_their_batch() -> None:
    app = thalweg.Application("failures")
    letters = app.dead_letters()
    columns = {"at": "TIMESTAMP", "n": "BIGINT"}
    rows = app.table("in", columns, event_time="at", connector="single_file", path="unread", format="json")
    rows.map_batches(halves, {"half": "DOUBLE"}, on_error=letters).records().discard()
    letters.key_by(lambda letter: letter.step).window(thalweg.tumble(10)).aggregate(
        "rate", totals(update=lambda letter, total: total + 1)
    ).sink("rate", connector="stdout")
    driver = Driver(app)
    for seconds in ([1, 5], [2], [0, 11], [14, 10], [31]):
        driver.rows_in("in", [{"at": datetime.fromtimestamp(at, timezone.utc), "n": at % 10} for at in seconds])
    assert driver.frames("rate") == [b"0: 1", b"10: 2"], "each has that of the last row"


def test_steps_in_a_row_give_to_several_streams() -> None:
    app = thalweg.Application("row")
    letters, others = app.dead_letters(), app.dead_letters("others")
    for stream in (letters, others):
        stream.map(lambda letter: repr(letter.record)).sink(f"dead{stream._place}", connector="stdout")
    numbers = app.source("in", connector="tcp", decoder=int, on_error=letters)
    rest = numbers.map(lambda n: 6 // n and n, on_error=others).filter(lambda n: 6 // (n - 1) >= 0, on_error=letters)
    rest.flat_map(lambda n: [n, 1 // (n - 2)], on_error=letters).sink("out", connector="stdout", encoder=str)
    driver = Driver(app)
    for frame in ("x", "0", "1", "2", "3"):
        driver.frame("in", frame)
    assert driver.frames("out") == [b"3", b"1"]
    assert (driver.frames("dead0"), driver.frames("dead1")) == ([b"b'x'", b"1", b"2"], [b"0"])


def test_a_branch_gets_no_letters() -> None:
    app = thalweg.Application("branch")
    letters = app.dead_letters()
    letters.map(lambda letter: repr(letter.record)).sink("dead", connector="stdout")
    numbers = app.source("in", connector="tcp", decoder=int, on_error=letters).map(lambda n: n)
    for name in ("a", "b"):
        numbers.map(lambda n: str(1 // n), on_error=letters).sink(name, connector="stdout")
    driver = Driver(app)
    for frame in ("x", "1", "0"):
        driver.frame("in", frame)
    assert driver.frames("a") == driver.frames("b") == [b"1"]
    assert driver.frames("dead") == [b"b'x'", b"0", b"0"], "one of the source, and one of each branch"


def test_letters_of_many_steps_are_one_stream_and_may_fail_themselves() -> None:
    app = thalweg.Application("chain")
    first, second = app.dead_letters("first"), app.dead_letters("second")

    def forget(letter: thalweg.DeadLetter) -> str:
        if letter.record == 0:
            raise KeyError("nothing")
        return str(letter.record)

    first.map(forget, on_error=second).sink("first", connector="stdout")
    second.map(lambda letter: f"{letter.record.record} {letter.error}").sink("second", connector="stdout")
    numbers = app.source("in", connector="tcp", decoder=int, on_error=first)
    for step in range(3):
        numbers = numbers.map(lambda n, step=step: 6 // (n - step) and n, on_error=first)
    numbers.sink("out", connector="stdout", encoder=str)
    driver = Driver(app)
    for frame in ("x", "0", "1", "2", "3"):
        driver.frame("in", frame)
    assert driver.frames("out") == [b"3"]
    assert driver.frames("first") == [b"b'x'", b"1", b"2"]
    assert driver.frames("second") == [b"0 KeyError: 'nothing'"]


def test_mistakes_are_told_where_they_are_made() -> None:
    app = thalweg.Application("wrong")
    numbers = app.source("in", connector="tcp", decoder=int)
    with pytest.raises(TypeError, match="'on_error' is 'fail', 'skip' or what 'dead_letters' gives, not 'ignore'"):
        numbers.map(str, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not <thalweg"):
        numbers.map(str, on_error=numbers)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the dead letters are of another application"):
        numbers.map(str, on_error=thalweg.Application("other").dead_letters())


def test_letters_cannot_go_in_a_loop() -> None:
    app = thalweg.Application("loop")
    letters, others = app.dead_letters(), app.dead_letters("others")
    with pytest.raises(ValueError, match="map 'str' reads 'dead letters', so its own cannot go there: that is a loop"):
        letters.map(str, on_error=letters)
    with pytest.raises(ValueError, match="sink 'out' reads 'dead letters'"):
        letters.sink("out", connector="stdout", on_error=letters)
    read = letters.map(str, on_error=others)
    with pytest.raises(ValueError, match="map 'repr' reads 'dead letters'"):
        others.map(repr, on_error=letters)
    with pytest.raises(ValueError, match="map 'repr' reads 'dead letters'"):
        others.merge(read).map(repr, on_error=letters)


def test_letters_come_from_somewhere_and_go_somewhere() -> None:
    app = thalweg.Application("nobody")
    numbers = app.source("in", connector="tcp", decoder=int)
    letters = app.dead_letters("lost")
    numbers.map(str, on_error=letters).sink("out", connector="stdout")
    with pytest.raises(thalweg.EngineError, match="nobody reads side output 'lost'\n *help: end its stream with 'sink'"):
        Driver(app)
    letters.discard()
    Driver(app).frame("in", "1")
    app.dead_letters("unused").sink("unused", connector="stdout")
    with pytest.raises(thalweg.EngineError, match="no step gives anything to side output 'unused'"):
        Driver(app)


@pytest.mark.parametrize("on_error", ["fail", "skip", "letters"])
def test_a_function_is_called_once_for_each_record(on_error: str) -> None:
    calls: dict[str, int] = {}

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return function(*given)

        return call

    def build(app: thalweg.Application, numbers: thalweg.Stream, e: Any) -> thalweg.Stream:
        timed = numbers.with_event_time(counted("time", float), on_error=e)
        passed = timed.filter(counted("filter", lambda n: True), on_error=e).map(counted("map", lambda n: n), on_error=e)
        keyed = passed.key_by(counted("key", lambda n: n), on_error=e)
        return keyed.stateful("all", counted("state", lambda n, s: n), state=counted("make", list), on_error=e)

    driver = Driver(built(build, on_error)[0])
    for number in "321":
        driver.frame("numbers", number)
    assert calls == dict.fromkeys(("time", "filter", "map", "key", "state", "make"), 3)


def test_each_job_counts_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    app, _ = built(STEPS["map 'seventh'"][0], "skip")
    for _ in range(2):
        driver = Driver(app)
        driver.frame("numbers", "0")
        assert driver.left_out() == {"map 'seventh'": 1}
    assert capsys.readouterr().err.count("warning: ") == 2


def test_failures_are_counted_by_all_threads() -> None:
    app = thalweg.Application("threads")
    app.source("in", connector="tcp").map(seventh, on_error="skip").sink("out", connector="stdout")
    guard = app.steps[1].guard
    assert guard is not None
    # Drivers of other tests are thrown away on this thread.
    gc.collect()
    fail = lambda: [guard.failed(ValueError(), 0) for _ in range(200)]
    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app._left_out() == {"map 'seventh'": 1600}


def test_standard_error_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = (tmp_path / "closed").open("w")
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        driver = Driver(built(STEPS["map 'seventh'"][0], "skip")[0])
        driver.frame("numbers", "0")
        assert driver.left_out() == {"map 'seventh'": 1}
