"""Python programs as processes: started in every way, killed and begun again, ended by mistakes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sysconfig
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest

from processes import PATIENCE, Process, connect, free_address, run, until

SCRIPT = Path(sysconfig.get_path("scripts")) / "thalweg"

ROWS = 200_000
KEYS = 13
KILLS = 4
# No job of one input lives more often: it would not come forward.
LIVES_MAX = 40
# No machine is so slow that no life goes on in so many jobs.
JOBS_MAX = 8

# Counts the rows of each key, in a class of its own, so that its state is pickled.
COUNTER = """
import thalweg

class Count:
    def __init__(self):
        self.rows, self.last = 0, None

def number(row, count):
    count.rows, count.last = count.rows + 1, row
    return row["k"], count.rows, row["n"]

application = thalweg.Application("counter")
rows = application.source("in", connector="single_file", path="in.jsonl", decoder=thalweg.decode_json)
counted = rows.key_by(lambda row: ("k", row["k"])).stateful("count", number, state=Count)
counted.sink("out", connector="single_file", path="out.txt", encoder=lambda row: "%d %d %d" % row)

if __name__ == "__main__":
    thalweg.run(application)
"""


# The same, and not through before anybody can stop it.
SLOW = COUNTER.replace(
    "def number(row, count):\n",
    """def number(row, count):
    if row["n"] % 1000 == 0:
        import time
        time.sleep(0.01)
""",
)


def job(folder: Path, program: str = COUNTER, rows: int = ROWS) -> None:
    """A folder with a program and its input."""
    (folder / "app.py").write_text(program)
    (folder / "in.jsonl").write_text("".join(f'{{"n": {n}, "k": {n * n % KEYS}}}\n' for n in range(rows)))


def expected(rows: int = ROWS) -> list[str]:
    """What comes out, ordered: every row once, numbered within its key in the order of the input."""
    seen: Counter[int] = Counter()
    lines = []
    for n in range(rows):
        key = n * n % KEYS
        seen[key] += 1
        lines.append(f"{key} {seen[key]} {n}")
    return sorted(lines)


def output(folder: Path) -> list[str]:
    return sorted((folder / "out.txt").read_text().splitlines())


# The same, with a mistake that it comes to at the very end.
RAISES = COUNTER.replace(
    "def number(row, count):\n",
    f"def number(row, count):\n    if row['n'] == {ROWS - 1}: raise KeyError('no such key')\n",
)

KEPT = ("--state-dir", "state", "--checkpoint-interval", "50ms")


def live_through(folder: Path, dice: random.Random, took: float, what: str) -> tuple[int, int]:
    """Lets a job live until it is through. Answers how often it was killed, and how many lives went on."""
    kills = recovered = 0
    for life in range(LIVES_MAX):
        parallelism = life % 3 + 1
        with Process("app.py", *KEPT, "--parallelism", str(parallelism), folder=folder) as process:
            # A life that nobody kills comes through, so there is an end.
            if life < LIVES_MAX // 2:
                try:
                    process.process.wait(dice.uniform(0.2, 0.8) * took)
                except subprocess.TimeoutExpired:
                    process.process.kill()
            code, _, err = process.ended()
        assert "error[" not in err and "Traceback" not in err, f"{what}, life {life}: {err}"
        recovered += "goes on from epoch" in err
        if code == 0:
            return kills, recovered
        assert code == -signal.SIGKILL, f"{what}, life {life}: {err}"
        kills += 1
    pytest.fail(f"{what}: {LIVES_MAX} lives and not through")


def test_killed_at_random_moments_every_row_is_counted_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("THALWEG_SEED", time.time_ns() % 100_000))
    dice, kills, recovered = random.Random(seed), 0, 0
    job(tmp_path, SLOW)
    began = time.monotonic()
    assert run("app.py", folder=tmp_path)[0] == 0
    took = time.monotonic() - began
    assert output(tmp_path) == expected(), "uninterrupted"
    for number in range(JOBS_MAX):
        folder, what = tmp_path / str(number), f"seed {seed}, job {number}"
        folder.mkdir()
        job(folder, SLOW)
        of_job = live_through(folder, dice, took, what)
        kills, recovered = kills + of_job[0], recovered + of_job[1]
        assert output(folder) == expected(), what
        code, _, err = run("app.py", *KEPT, folder=folder)
        assert code == 0 and "finished" in err, f"{what}: {err}"
        if kills >= KILLS and recovered >= 2:
            return
    pytest.fail(f"seed {seed}: {kills} kills and {recovered} lives that went on, in {JOBS_MAX} jobs")


def begin_and_interrupt(folder: Path, *way: str | Path) -> None:
    """A life that is stopped as soon as something new has come out."""
    (folder / "app.py").write_text(SLOW)
    out = folder / "out.txt"
    before, deadline = out.stat().st_size if out.exists() else 0, time.monotonic() + PATIENCE
    with Process(*way, *KEPT, folder=folder) as process:
        while not out.exists() or out.stat().st_size <= before:
            assert process.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        code, _, err = process.interrupted()
    assert code == 130 and "stopped at epoch" in err, err
    (folder / "app.py").write_text(COUNTER)


def test_a_function_that_raises_loses_nothing_that_is_checkpointed(tmp_path: Path) -> None:
    job(tmp_path)
    begin_and_interrupt(tmp_path, "app.py")
    (tmp_path / "app.py").write_text(RAISES)
    for parallelism in ("1", "2"):
        code, out, err = run("app.py", *KEPT, "--parallelism", parallelism, folder=tmp_path)
        assert (code, out) == (1, "") and "goes on from epoch" in err, err
        assert "error[function-failed]: stateful 'count' raised KeyError: 'no such key'" in err, "the step"
        assert 'app.py", line' in err and "in number" in err, "the traceback"
        assert f"the record was {{'n': {ROWS - 1}, " in err, "the record"
    (tmp_path / "app.py").write_text(COUNTER)
    code, _, err = run("app.py", *KEPT, "--parallelism", "3", folder=tmp_path)
    assert code == 0 and "goes on from epoch" in err, err
    assert output(tmp_path) == expected()


def test_state_that_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    job(tmp_path, COUNTER.replace("self.rows, self.last = 0, None", "self.rows, self.open = 0, open('in.jsonl')"), 100)
    code, _, err = run("app.py", *KEPT, folder=tmp_path)
    assert code == 1
    assert "cannot pickle" in err and "count" in err, err


WAYS = {
    "file": ("app.py",),
    "file-and-word": ("app.py", "run"),
    "command": (SCRIPT, "run", "app.py"),
    "module": ("-m", "thalweg", "run", "app.py"),
}


@pytest.mark.parametrize(("way", "other"), [("file", "command"), ("module", "file")])
def test_one_way_to_run_goes_on_where_another_was(tmp_path: Path, way: str, other: str) -> None:
    job(tmp_path)
    begin_and_interrupt(tmp_path, *WAYS[way])
    code, _, err = run(*WAYS[other], *KEPT, folder=tmp_path)
    assert code == 0 and "goes on from epoch" in err, err
    assert output(tmp_path) == expected()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_every_way_to_run_gives_the_same(tmp_path: Path, way: tuple[str | Path, ...]) -> None:
    job(tmp_path, rows=100)
    assert run(*way, "--parallelism", "2", folder=tmp_path) == (0, "", "")
    assert output(tmp_path) == expected(100)


def test_every_way_to_explain_gives_the_same(tmp_path: Path) -> None:
    job(tmp_path, rows=0)
    answers = [
        run("app.py", "explain", folder=tmp_path),
        run(SCRIPT, "explain", "app.py", folder=tmp_path),
        run("-m", "thalweg", "explain", "app.py", folder=tmp_path),
    ]
    code, out, err = answers[0]
    assert (code, err) == (0, "")
    assert "exactly once" in out and "[state count, encode]; key key" in out, out
    assert answers == [answers[0]] * 3
    assert not (tmp_path / "out.txt").exists(), "nothing runs"


def test_every_way_to_check_gives_the_same(tmp_path: Path) -> None:
    job(tmp_path, rows=0)
    for way in (("app.py", "check"), (SCRIPT, "check", "app.py"), ("-m", "thalweg", "check", "app.py")):
        code, out, err = run(*way, folder=tmp_path)
        assert (code, err) == (0, "") and out.endswith(": ok\n"), (way, out, err)
    (tmp_path / "app.py").write_text(APPLICATION)
    code, _, err = run("-m", "thalweg", "check", "app.py", folder=tmp_path)
    assert code == 3 and "the application 'a' has no source" in err, err
    assert not (tmp_path / "out.txt").exists(), "nothing runs"


def test_a_module_beside_the_program_is_found(tmp_path: Path) -> None:
    job(tmp_path, "from counts import *\n", 100)
    (tmp_path / "counts.py").write_text(COUNTER)
    assert run(SCRIPT, "run", "app.py", folder=tmp_path) == (0, "", "")
    assert output(tmp_path) == expected(100)


APPLICATION = "import thalweg\napplication = thalweg.Application('a')\n"

WRONG = {
    "no-file": (None, 4, "there is no file 'app.py'"),
    "none": ("x = 1\n", 3, "'app.py' declares no application"),
    "two": (f"{APPLICATION}second = thalweg.Application('b')\n", 3, "'app.py' declares 2 applications: 'a', 'b'"),
    "empty": (APPLICATION, 3, "the application 'a' has no source"),
    "module": (f"{APPLICATION}import no_such_module\n", 3, "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax": ("def f(:\n    pass\n", 3, "SyntaxError: invalid syntax"),
    "raises": (f"{APPLICATION}print(1 / 0)\n", 3, 'app.py", line 3'),
    "connector": (f"{APPLICATION}application.source('in', connector='fax').discard()\n", 3, "'fax'"),
    "option": (
        f"{APPLICATION}application.source('in', connector='single_file', path='in.jsonl', pth='x').discard()\n",
        3,
        "'pth'",
    ),
    "one-file": (
        f"{APPLICATION}lines = application.source('in', connector='single_file', path='in.jsonl')\n"
        "for name in ('one', 'other'): lines.sink(name, connector='single_file', path='out.txt')\n",
        3,
        "'one/sink' and 'other/sink' both write to 'out.txt'",
    ),
}



@pytest.mark.parametrize(("program", "code", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_run_is_told(tmp_path: Path, program: str | None, code: int, words: str) -> None:
    job(tmp_path, program or "", 1)
    if program is None:
        (tmp_path / "app.py").unlink()
    ended, out, err = run(SCRIPT, "run", "app.py", folder=tmp_path)
    assert words in err and out == "", err
    assert ended == code, err


def test_annotations_are_read_as_python_reads_them(tmp_path: Path) -> None:
    local = "def made():\n    class Local: pass\n    def f(x: Local): pass\n    return f.__annotations__['x']\nassert isinstance(made(), type)\n"
    (tmp_path / "app.py").write_text(local + APPLICATION + "application.source('in', connector='single_file', path='in.txt').discard()\n")
    assert run(SCRIPT, "check", "app.py", folder=tmp_path) == (0, "a: ok\n", "")


def test_a_second_ctrl_c_ends_a_function_that_waits(tmp_path: Path) -> None:
    waits = COUNTER.replace("def number(row, count):\n", "import time\ndef number(row, count):\n    print('in', flush=True)\n    time.sleep(3600)\n")
    job(tmp_path, waits, 10)
    with Process("app.py", *KEPT, folder=tmp_path) as process:
        assert process.process.stdout is not None
        assert process.process.stdout.readline() == "in\n"
        process.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.process.wait(0.5)
        process.process.send_signal(signal.SIGINT)
        process.process.wait(PATIENCE)
        code, _, err = process.ended()
    assert code == 131 and "aborted; 'counter' goes on where it had begun" in err, err


THREADS = """
import pathlib
import time
import thalweg

def threads(_):
    # A thread has the name of the one that began it until it runs.
    time.sleep(0.5)
    names = {(task / "comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()}
    return str(sum(name.startswith("data-") for name in names)) + "\\n"

app = thalweg.Application("threads")
app.source("in", connector="single_file", path="in.txt").map(threads).sink("out", connector="single_file", path="out.txt")
thalweg.run(app)
"""


@pytest.mark.parametrize(
    ("flags", "most"), [((), 1), (("--parallelism", "64"), os.cpu_count()), (("--set", "data-threads=3"), 3)]
)
def test_there_are_no_more_threads_than_subtasks_and_cores(tmp_path: Path, flags: tuple[str, ...], most: int) -> None:
    # Who waits for the interpreter is no faster for being many.
    (tmp_path / "app.py").write_text(THREADS)
    (tmp_path / "in.txt").write_text("a\n")
    assert run("app.py", *flags, folder=tmp_path) == (0, "", "")
    threads = int((tmp_path / "out.txt").read_text())
    # A process may be kept to fewer cores than there are.
    assert threads == most if "--parallelism" not in flags else 1 <= threads <= most


AHEAD = """
import json
import thalweg

class Rows:
    def initial(self):
        return 0

    def update(self, row, count):
        return count + 1

    def combine(self, count, other):
        return count + other

    def output(self, key, window, count):
        return count

application = thalweg.Application("ahead")
rows = application.source("in", connector="tcp", address="ADDRESS", decoder=thalweg.decode_json)
timed = rows.with_event_time(lambda row: row["ts"])
timed.map(str).sink("seen", connector="single_file", path="seen.txt")
table = application.table("table", {"at": "TIMESTAMP"}, event_time="at", connector="tcp", address="OTHER", format="json")
for name, stream in [("rows", timed), ("table", table.records())]:
    counted = stream.key_by(lambda row: 0).window(thalweg.tumble(10)).aggregate(name, Rows)
    counted.sink(name + "-out", connector="single_file", path=name + ".txt", encoder=str)

if __name__ == "__main__":
    thalweg.run(application)
"""


def test_how_far_ahead_of_the_wall_clock_a_record_may_be_is_a_setting(tmp_path: Path) -> None:
    far = int(time.time()) + 86_400
    lines = [json.dumps({"ts": at}) + "\n" for at in (far, far + 100)]
    instants = [datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") for at in (far, far + 100)]
    for flags, ahead in [((), True), (("--set", "max-future-skew=2880m"), False)]:
        folder = tmp_path / str(ahead)
        folder.mkdir()
        addresses = free_address(), free_address()
        (folder / "app.py").write_text(AHEAD.replace("ADDRESS", addresses[0]).replace("OTHER", addresses[1]))
        with Process("app.py", *flags, folder=folder) as process:
            with connect(addresses[0]) as rows, connect(addresses[1]) as table:
                rows.sendall("".join(lines).encode())
                table.sendall("".join(json.dumps({"at": at}) + "\n" for at in instants).encode())
                written = ["seen.txt"] if ahead else ["rows.txt", "table.txt"]
                until(lambda: all((folder / name).exists() and (folder / name).read_text() for name in written), "it reads")
                code, _, err = process.interrupted()
        assert code == 130 and ("too far ahead of the wall clock" in err) == ahead, err
