"""What becomes of records whose function raises, in programs that run, are killed, and go on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from processes import PATIENCE, Process, run

PROGRAM = """
import thalweg

def seventh(number):
    return 7 // number

app = thalweg.Application("job")
letters = app.dead_letters()
numbers = app.source("numbers", connector="single_file", path="numbers.txt", decoder=int, on_error="skip")
numbers.map(seventh, on_error="skip").sink("out", connector="single_file", path="out.txt", encoder=str)
numbers.filter(lambda n: 7 // n, on_error=letters).discard()
letters.sink("dead", connector="single_file", path="dead.txt", encoder=lambda letter: repr(letter.record))

if __name__ == "__main__":
    thalweg.run(app)
"""


@pytest.mark.parametrize("flags", [[], ["--parallelism", "2", "--state-dir", "state"]], ids=["one", "two"])
def test_what_a_job_has_left_out_is_told_at_its_end(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    (tmp_path / "numbers.txt").write_text("7\nx\n0\n-1\n0\n")
    code, out, err = run("job.py", *flags, folder=tmp_path)
    assert (code, out) == (0, ""), err
    assert "warning: source 'numbers' left out a record: ValueError: invalid literal" in err
    assert "warning: map 'seventh' left out a record: ZeroDivisionError" in err
    assert err.endswith("1 record was left out by source 'numbers'\n2 records were left out by map 'seventh'\n"), err
    assert sorted((tmp_path / "out.txt").read_text().split()) == ["-7", "1"]


ROWS = 100_000

KILLED = f"""
import time
import thalweg

def slow(number):
    if number % 1000 == 0:
        time.sleep(0.01)
    return number

def odd(number):
    return number if number % 50 else number / 0

def count(number, seen):
    seen[0] += 1
    if number % 70 == 1:
        raise ValueError(f"after {{seen[0]}}")
    return number

app = thalweg.Application("killed")
letters = app.dead_letters()
letters.sink("dead", connector="single_file", path="dead.txt", encoder=lambda letter: f"{{letter.record}} {{letter.step}} {{letter.error}}")
numbers = app.source("in", connector="single_file", path="in.txt", decoder=int).map(slow).map(odd, on_error=letters)
counted = numbers.key_by(lambda n: n % 3).stateful("count", count, state=lambda: [0], on_error=letters)
counted.sink("out", connector="single_file", path="out.txt", encoder=str)

if __name__ == "__main__":
    thalweg.run(app)
"""

# Small batches, so that there are checkpoints long before the end.
KEPT = ("--state-dir", "state", "--checkpoint-interval", "20ms", "--set", "batch-rows-max=500")


def newest(folder: Path) -> int:
    """The epoch of the newest complete checkpoint."""
    return max((int(file.name) for file in folder.glob("[0-9]*")), default=0)


def test_every_dead_letter_is_written_once_through_crashes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(KILLED)
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in range(ROWS)))
    complete, went_on = tmp_path / "state" / "killed" / "complete", 0
    for life in range(4):
        before, deadline = newest(complete), time.monotonic() + PATIENCE
        with Process("app.py", *KEPT, "--parallelism", str(life % 2 + 1), folder=tmp_path) as process:
            # Three are killed behind a checkpoint: one of their own, or the last of the life before, told by them.
            while life < 3 and newest(complete) == before:
                assert process.process.poll() is None and time.monotonic() < deadline, process.ended()
                time.sleep(0.005)
            if life < 3:
                process.process.kill()
            code, _, err = process.ended()
            went_on += "goes on from epoch" in err
    assert code == 0 and went_on > 0, err
    expected, seen = [], [0, 0, 0]
    for number in range(ROWS):
        if number % 50 == 0:
            expected.append(f"{number} map 'odd' ZeroDivisionError: division by zero")
            continue
        seen[number % 3] += 1
        if number % 70 == 1:
            expected.append(f"{number} stateful 'count' ValueError: after {seen[number % 3]}")
    assert sorted((tmp_path / "dead.txt").read_text().splitlines()) == sorted(expected)
    passed = [number for number in range(ROWS) if number % 50 and number % 70 != 1]
    assert sorted(map(int, (tmp_path / "out.txt").read_text().split())) == passed


FAILS = """
import time
import thalweg

class Totals:
    def initial(self):
        return 0

    def update(self, number, total):
        if number % 100 == 99:
            raise ValueError(f"not {number}")
        return total + number

    def combine(self, total, other):
        return total + other

    def output(self, key, window, total):
        return f"{key} {window.start:g} {total}"

def count(number, seen):
    if number % 1000 == 0:
        time.sleep(0.01)
    if number % 1000 == 500:
        raise LookupError(number)
    seen[0] += 1
    return number

app = thalweg.Application("mended")
letters = app.dead_letters() if POLICY == "letters" else None
policy = letters or POLICY
numbers = app.source("in", connector="single_file", path="in.txt", decoder=int, on_error=policy)
counted = numbers.with_event_time(float).key_by(lambda n: n % 3, on_error=policy)
counted = counted.stateful("count", count, state=lambda: [0], on_error=policy).key_by(lambda n: n % 2)
counted.window(thalweg.tumble(20_000)).aggregate("totals", Totals, on_error=policy).sink(
    "out", connector="single_file", path="out.txt", encoder=str)
if letters:
    letters.sink("dead", connector="single_file", path="dead.txt", encoder=lambda letter: f"{letter.step} {letter.record!r}")

if __name__ == "__main__":
    thalweg.run(app)
"""


@pytest.mark.parametrize("policy", ["skip", "letters"])
def test_a_job_that_failed_goes_on_with_a_policy(tmp_path: Path, policy: str) -> None:
    # Numbers that fail a step come behind a checkpoint, and are passed over by the program that is mended.
    def fails(number: int) -> bool:
        return number % 100 == 99 or number % 1000 == 500

    numbers = [number for number in range(50_000) if number >= 40_000 or not fails(number)]
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in numbers) + "x\n")
    (tmp_path / "app.py").write_text(FAILS.replace("POLICY", repr("fail")))
    code, _, err = run("app.py", *KEPT, folder=tmp_path)
    assert code != 0 and "raised" in err and newest(tmp_path / "state" / "mended" / "complete") > 0, err
    (tmp_path / "app.py").write_text(FAILS.replace("POLICY", repr(policy)))
    code, _, err = run("app.py", *KEPT, "--parallelism", "2", folder=tmp_path)
    assert code == 0 and "goes on from epoch" in err, err
    totals: dict[tuple[int, int], int] = {}
    for number in numbers:
        if not fails(number):
            window = (number % 2, number // 20_000 * 20_000)
            totals[window] = totals.get(window, 0) + number
    expected = [f"{key} {start} {total}" for (key, start), total in totals.items()]
    assert sorted((tmp_path / "out.txt").read_text().splitlines()) == sorted(expected)
    if policy == "letters":
        letters = ["source 'in' b'x'"]
        for number in filter(fails, numbers):
            letters.append(f"stateful 'count' {number}" if number % 1000 == 500 else f"aggregate 'totals' {number}")
        assert sorted((tmp_path / "dead.txt").read_text().splitlines()) == sorted(letters)


WAITS = FAILS.replace(
    "    if number % 1000 == 0:\n        time.sleep(0.01)\n    if number % 1000 == 500:\n        raise LookupError(number)\n",
    "    time.sleep(0.0005)\n    if number == LAST:\n        raise MemoryError\n",
).replace("number % 100 == 99", "number % 100 == 99 and number < 1000")


@pytest.mark.parametrize("policy", ["skip", "fail"])
def test_letters_that_wait_in_a_window_are_not_lost_with_their_policy(tmp_path: Path, policy: str) -> None:
    small = (*KEPT[:-1], "batch-rows-max=50")
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in range(4000)))
    (tmp_path / "app.py").write_text(WAITS.replace("POLICY", repr("letters")).replace("LAST", "3900"))
    code, _, err = run("app.py", *small, folder=tmp_path)
    assert code == 1 and "raised MemoryError" in err, err
    (tmp_path / "app.py").write_text(WAITS.replace("POLICY", repr(policy)).replace("LAST", "-1"))
    code, _, err = run("app.py", *small, "--allow-dropped-state", folder=tmp_path)
    assert "goes on from epoch" in err, err
    if policy == "skip":
        assert code == 0 and "10 records were left out by aggregate 'totals'" in err, err
    else:
        assert code == 1 and "window 'totals' has no 'on_error', and a window that is kept has dead letters" in err, err
        assert "not " in err and "DeadLetter(step=" in err, err


UNPICKLED = """
from dataclasses import dataclass
import thalweg

@dataclass
class Seen:
    count: int = 0

class Order:
    def __repr__(self):
        return "<an order>"

app = thalweg.Application("plain")
letters = app.dead_letters()
lines = app.source("in", connector="single_file", path="in.txt", decoder=lambda line: line.decode())
lines.map(lambda line: 1 // 0, on_error=letters).discard()
lines.map(lambda line: Order()).map(lambda order: 1 // 0, on_error=letters).discard()
letters.sink("dead", connector="single_file", path="dead.txt", encoder=lambda letter: f"{letter.error} {letter.record!r}")
letters.key_by(lambda letter: letter.step).stateful("steps", lambda letter, seen: letter.step, state=Seen).discard()

if __name__ == "__main__":
    thalweg.run(app)
"""


def test_letters_need_no_pickles(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(UNPICKLED)
    (tmp_path / "in.txt").write_text("a\n")
    code, _, err = run("app.py", "--no-pickle", folder=tmp_path)
    assert code == 0, err
    assert sorted((tmp_path / "dead.txt").read_text().splitlines()) == [
        "ZeroDivisionError: integer division or modulo by zero '<an order>'",
        "ZeroDivisionError: integer division or modulo by zero 'a'",
    ]
