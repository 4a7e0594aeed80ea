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
