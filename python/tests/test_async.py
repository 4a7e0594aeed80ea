"""Async functions: many calls at a time, results in order."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import thalweg
from processes import Process
from thalweg.testing import Driver


def driver_of(function: Any, split: Any = str.split, **options: Any) -> Driver:
    """Sends each word of a frame through an async function; what it gives is `out`, a line each."""
    application = thalweg.Application("async")
    words = application.source("in", connector="tcp", decoder=thalweg.decode_utf8).flat_map(split)
    words.async_map(function, **options).map(lambda result: f"{result}\n").sink("out", connector="stdout")
    return Driver(application)


def test_a_hundred_calls_sleep_together() -> None:
    async def sleep(word: str) -> str:
        await asyncio.sleep(0.05)
        return word

    driver = driver_of(sleep)
    words = [str(number) for number in range(100)]
    start = time.monotonic()
    driver.frame("in", " ".join(words))
    assert time.monotonic() - start < 2.5, "one behind the other they take 5 seconds"
    assert driver.text("out").split() == words


def test_results_keep_the_order_of_the_records_whichever_call_ends_first() -> None:
    ended = []

    async def sleep(word: str) -> str:
        await asyncio.sleep(0.03 - int(word) * 0.001)
        ended.append(int(word))
        return word

    driver = driver_of(sleep)
    driver.frame("in", " ".join(map(str, range(30))))
    assert ended != sorted(ended), "they did overtake each other"
    assert driver.text("out").split() == [str(number) for number in range(30)]


@pytest.mark.parametrize("in_flight", [1, 7, 100])
def test_no_more_calls_than_allowed_are_in_flight(in_flight: int) -> None:
    now, most = 0, 0

    async def count(word: str) -> str:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return word

    driver = driver_of(count, in_flight=in_flight)
    driver.frame("in", " ".join(map(str, range(200))))
    assert most == in_flight and driver.text("out").split() == [str(number) for number in range(200)]


def test_none_is_nothing_and_a_call_need_not_wait() -> None:
    async def odd(word: str) -> str | None:
        return word if int(word) % 2 else None

    driver = driver_of(odd)
    driver.frame("in", "1 2 3 4")
    driver.restart()
    driver.frame("in", "5")
    assert driver.text("out").split() == ["1", "3", "5"]


def test_more_records_than_fit_into_a_batch_come_out_once_each_in_order() -> None:
    """The step stands between one that gives any number of records and another that does: both are full in between."""
    calls = []

    async def double(number: int) -> int:
        calls.append(number)
        return number * 2

    application = thalweg.Application("full")
    numbers = application.source("in", connector="tcp", decoder=int).flat_map(range)
    doubles = numbers.async_map(double).flat_map(lambda number: (number, number + 1))
    doubles.map(lambda number: f"{number} ").sink("out", connector="stdout")
    driver = Driver(application)
    driver.frame("in", "20000")
    driver.frame("in", "3")
    expected = [*range(40_000), *range(6)]
    assert [int(number) for number in driver.text("out").split()] == expected
    assert calls == [*range(20_000), 0, 1, 2], "nobody is asked twice"


def test_event_times_go_along_through_windows() -> None:
    class Count:
        def initial(self) -> int:
            return 0

        def update(self, record: Any, count: int) -> int:
            return count + 1

        def combine(self, count: int, other: int) -> int:
            return count + other

        def output(self, key: Any, window: thalweg.Window, count: int) -> str:
            return f"{window.start:g} {count};"

    async def same(second: float) -> float:
        await asyncio.sleep(0)
        return second

    application = thalweg.Application("times")
    seconds = application.source("in", connector="tcp", decoder=lambda frame: [float(word) for word in frame.split()])
    timed = seconds.flat_map(lambda all: all).with_event_time(lambda second: second)
    counts = timed.async_map(same).key_by(lambda _: 0).window(thalweg.tumble(10)).aggregate("count", Count)
    counts.sink("out", connector="stdout")
    driver = Driver(application)
    driver.frame("in", "1 2 9 11 12 25 3")
    assert driver.text("out") == "0 3;10 2;", "the last record of all is late"
    driver.end()
    assert driver.text("out") == "0 3;10 2;20 1;"


def test_a_call_that_raises_fails_with_its_record_and_traceback() -> None:
    finished = []

    async def invert(word: str) -> float:
        if word == "0":
            await asyncio.sleep(0.01)
            return 1 / int(word)
        await asyncio.sleep(30)
        finished.append(word)
        return 0.0

    driver = driver_of(invert)
    start = time.monotonic()
    with pytest.raises(thalweg.EngineError) as told:
        driver.frame("in", "1 2 0 4")
    assert time.monotonic() - start < 5 and not finished, "the others are not waited for"
    assert told.value.code == "function-failed"
    assert told.value.what == "async_map 'invert' raised ZeroDivisionError: division by zero"
    assert "return 1 / int(word)" in told.value.why and told.value.why.endswith("the record was '0'")
    assert "asynchronous.py" not in told.value.why, told.value.why


def test_a_call_that_takes_too_long_fails() -> None:
    cancelled = []

    async def hang(word: str) -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(word)
            raise
        return word

    driver = driver_of(hang, timeout=0.05)
    with pytest.raises(thalweg.EngineError, match=r"TimeoutError: the call took longer than 0\.05 seconds"):
        driver.frame("in", "a")
    assert cancelled == ["a"]


@pytest.mark.parametrize(
    ("raised", "words"),
    [(SystemExit(3), "SystemExit: 3"), (KeyboardInterrupt(), "KeyboardInterrupt"), (asyncio.CancelledError(), "RuntimeError: the call was cancelled")],
)
def test_no_exception_ends_the_loop_for_others(raised: BaseException, words: str) -> None:
    async def leave(word: str) -> str:
        await asyncio.sleep(0)
        raise raised

    async def stay(word: str) -> str:
        await asyncio.sleep(0)
        return word

    driver = driver_of(leave)
    with pytest.raises(thalweg.EngineError, match=f"async_map 'leave' raised {words}"):
        driver.frame("in", "a")
    driver = driver_of(stay)
    driver.frame("in", "b")
    assert driver.text("out") == "b\n"


def test_a_task_within_a_call_cannot_end_the_loop_either() -> None:
    async def ask(word: str) -> str:
        if word == "exit":
            raise SystemExit(3)
        asyncio.get_running_loop().stop()
        return word

    async def within(word: str) -> str:
        return await asyncio.wait_for(ask(word), 30)

    driver = driver_of(within)
    with pytest.raises(thalweg.EngineError, match="async_map 'within' raised SystemExit: 3"):
        driver.frame("in", "exit")
    driver = driver_of(within)
    for word in ("stop", "again"):
        driver.frame("in", word)
    assert driver.text("out") == "stop\nagain\n"


def test_a_call_that_is_cancelled_has_failed() -> None:
    async def give_up(word: str) -> str:
        task = asyncio.ensure_future(asyncio.sleep(30))
        task.cancel()
        if word == "b":
            await task
        return word

    driver = driver_of(give_up, on_error="skip")
    driver.frame("in", "a b c")
    assert driver.text("out") == "a\nc\n" and driver.left_out() == {"async_map 'give_up'": 1}


def test_a_function_that_is_not_async_is_told() -> None:
    driver = driver_of(str.upper)
    with pytest.raises(thalweg.EngineError, match="it gave 'A', which cannot be awaited: is it an 'async def' function"):
        driver.frame("in", "a")


def test_all_calls_of_a_process_share_one_loop() -> None:
    loops = set()

    async def note(word: str) -> str:
        loops.add((id(asyncio.get_running_loop()), threading.current_thread().name))
        return word

    for _ in range(3):
        driver_of(note).frame("in", "a b")
    assert len(loops) == 1 and next(iter(loops))[1] == "thalweg-async"


def test_records_that_fail_are_left_out_or_become_letters() -> None:
    async def invert(word: str) -> float:
        await asyncio.sleep(0.001)
        return 1 / int(word)

    driver = driver_of(invert, on_error="skip")
    driver.frame("in", "1 0 2 x 4")
    assert driver.text("out").split() == ["1.0", "0.5", "0.25"]
    assert driver.left_out() == {"async_map 'invert'": 2}

    application = thalweg.Application("letters")
    letters = application.dead_letters()
    words = application.source("in", connector="tcp", decoder=thalweg.decode_utf8)
    words.async_map(invert, on_error=letters).map(str).sink("out", connector="stdout")
    letters.map(lambda letter: f"{letter.step} {letter.record} {letter.error};").sink("letters", connector="stdout")
    driver = Driver(application)
    driver.frame("in", "0")
    driver.frame("in", "4")
    assert driver.text("out") == "0.25"
    assert driver.text("letters") == "async_map 'invert' 0 ZeroDivisionError: division by zero;"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_flight": 0}, "'in_flight' is a number of calls that is at least 1, not 0"),
        ({"in_flight": True}, "'in_flight' is a number of calls"),
        ({"timeout": 0}, "'timeout' is a number of seconds above 0, or a timedelta, not 0"),
        ({"timeout": float("nan")}, "'timeout' is a number of seconds above 0"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], words: str) -> None:
    async def same(word: str) -> str:
        return word

    with pytest.raises(ValueError, match=words):
        driver_of(same, **options)


def test_the_decorator_of_an_async_function_makes_its_step() -> None:
    @thalweg.computation(name="shout")
    async def upper(word: str) -> str:
        await asyncio.sleep(0)
        return word.upper()

    application = thalweg.Application("decorated")
    words = application.source("in", connector="tcp", decoder=thalweg.decode_utf8)
    words.to(upper).sink("out", connector="stdout")
    assert [step.name for step in application.steps][1] == "shout"
    driver = Driver(application)
    driver.frame("in", "a")
    assert driver.text("out") == "A"

    @thalweg.computation_multi
    async def letters(word: str) -> list[str]:
        return list(word)

    with pytest.raises(TypeError, match="'letters' is an 'async def' function, which 'async_map' calls"):
        words.to(letters)


def test_an_async_function_is_refused_where_nobody_awaits_it() -> None:
    async def same(word: str) -> str:
        return word

    application = thalweg.Application("wrong")
    words = application.source("in", connector="tcp")
    for misuse in (words.map, words.filter, words.flat_map, words.key_by):
        with pytest.raises(TypeError, match="'same' is an 'async def' function, which 'async_map' calls"):
            misuse(same)
    with pytest.raises(TypeError, match="'count' is a state computation, and a computation of one record is wanted here"):
        words.async_map(thalweg.state_computation(state=dict, name="count")(same))


def test_a_driver_may_be_thrown_away_on_any_thread() -> None:
    async def same(word: str) -> str:
        return word

    told: list[Any] = []
    drivers = [driver_of(same)]
    drivers[0].frame("in", "a")
    before, sys.unraisablehook = sys.unraisablehook, told.append
    try:
        thread = threading.Thread(target=drivers.clear)
        thread.start()
        thread.join()
    finally:
        sys.unraisablehook = before
    assert not told


def test_a_loop_is_made_anew_behind_a_fork() -> None:
    async def same(word: str) -> str:
        await asyncio.sleep(0.001)
        return word

    driver_of(same).frame("in", "a")
    child = os.fork()
    if child == 0:
        try:
            driver = driver_of(same)
            driver.frame("in", "b")
            os._exit(0 if driver.text("out") == "b\n" else 1)
        finally:
            os._exit(2)
    for _ in range(1000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        raise AssertionError("the child waits for a loop that does not run")
    assert os.waitstatus_to_exitcode(status) == 0


PROGRAM = """
import asyncio
import thalweg

async def slow(word):
    await asyncio.sleep(0.5)
    return word.upper()

app = thalweg.Application("slow")
words = app.source("words", connector="single_file", path="in.txt", decoder=thalweg.decode_utf8)
words.async_map(slow).sink("out", connector="single_file", path="out.txt")
thalweg.run(app)
"""


@pytest.mark.parametrize("parallelism", ["1", "2"])
def test_a_job_awaits_a_hundred_calls_at_once(tmp_path: Path, parallelism: str) -> None:
    words = [f"word-{number}" for number in range(100)]
    (tmp_path / "in.txt").write_text("\n".join(words))
    program = tmp_path / "slow.py"
    program.write_text(PROGRAM)
    flags = ["--parallelism", parallelism, "--state-dir", str(tmp_path / "state")]
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(program), *flags], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 25, "one behind the other they take 50 seconds"
    assert (tmp_path / "out.txt").read_text().split() == [word.upper() for word in words]


KILLED = """
import asyncio
import time
import thalweg

def double(batch):
    time.sleep(0.002)
    return {"id": [2 * row for row in batch["id"].to_pylist()]}

async def as_text(row):
    await asyncio.sleep(0.001)
    return str(row["id"])

app = thalweg.Application("killed")
rows = app.table("in", {"id": "BIGINT"}, connector="single_file", path="in.json", format="json")
ids = rows.map_batches(double, {"id": "BIGINT"}).records()
ids.async_map(as_text).sink("out", connector="single_file", path="out.txt")
thalweg.run(app)
"""


def test_a_killed_job_of_batches_and_calls_gives_each_row_once(tmp_path: Path) -> None:
    rows, out = 20_000, tmp_path / "out.txt"
    (tmp_path / "in.json").write_text("".join(f'{{"id": {row}}}\n' for row in range(rows)))
    (tmp_path / "killed.py").write_text(KILLED)
    flags = ["--state-dir", "state", "--checkpoint-interval", "20ms", "--set", "batch-rows-max=64"]
    recovered = 0
    for life in range(6):
        seen = out.stat().st_size if out.exists() else 0
        with Process("killed.py", *flags, "--parallelism", str(life % 2 + 1), folder=tmp_path) as process:
            while life < 5 and process.process.poll() is None and (not out.exists() or out.stat().st_size < seen + 5_000):
                time.sleep(0.005)
            if life < 5:
                process.process.kill()
            code, _, err = process.ended()
        recovered += "goes on from epoch" in err
        assert "error[" not in err and code in (0, -9), err
    assert code == 0 and recovered >= 2, err
    assert [int(line) for line in out.read_text().split()] == list(range(0, 2 * rows, 2))


def test_a_record_waits_for_its_call_as_it_was_given() -> None:
    def total(number: int, totals: list[int]) -> list[int]:
        totals.append(number)
        return totals

    async def shown(record: list[int]) -> str:
        return f"{sum(record)} "

    application = thalweg.Application("own")
    numbers = application.source("in", connector="tcp", decoder=thalweg.decode_utf8).flat_map(str.split).map(int)
    totals = numbers.key_by(lambda _: 1).stateful("totals", total, state=list)
    totals.async_map(shown).sink("out", connector="stdout")
    driver = Driver(application)
    driver.frame("in", "1 2 3 4 5")
    assert driver.text("out") == "1 3 6 10 15 "
