"""Functions that take the whole process with them, and the words that are said of each."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from processes import PATIENCE, Process, run

ROWS = 1_000

PROGRAM = """
import ctypes, os, sys, time
import thalweg

def number(row, seen):
    if row["n"] == {at}:
        {deed}
    seen.append(row["n"])
    return str(row["n"])

application = thalweg.Application("counter")
rows = application.source("in", connector="single_file", path="in.jsonl", decoder=thalweg.decode_json)
numbered = rows.key_by(lambda row: row["n"] % 3).stateful("count", number, state=list)
numbered.sink("out", connector="single_file", path="out.txt")

print("before")
if __name__ == "__main__":
    thalweg.run(application)
print("after")
"""

LOOP = "print('in', flush=True)\n        while True: pass"
KEPT = ("--state-dir", "state", "--checkpoint-interval", "50ms")
RECORD = "the record was {'n': 500}"


def program(folder: Path, deed: str, at: int = 500) -> None:
    (folder / "app.py").write_text(PROGRAM.format(deed=deed, at=at))
    (folder / "in.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(ROWS)))


def complete(folder: Path) -> bool:
    return sorted(map(int, (folder / "out.txt").read_text().split())) == list(range(ROWS))


def test_what_stands_behind_the_run_is_done_once(tmp_path: Path) -> None:
    program(tmp_path, "pass")
    assert run("app.py", folder=tmp_path) == (0, "before\nafter\n", "")
    assert complete(tmp_path)


def nested(depth: int) -> str:
    """What calls itself in C so many times."""
    return (
        "nested = []\n"
        f"        for _ in range({depth}): nested = [nested]\n"
        "        sys.setrecursionlimit(10**8); repr(nested)\n"
        "        while nested: nested = nested.pop()"
    )


# Since 3.12 the interpreter itself ends what goes too deep in C.
OVERFLOW = nested(10**7) if sys.version_info < (3, 12) else "ctypes.string_at(0)"

DEATHS = {
    "exit": ("os._exit(0)", 1, ["stateful 'count' has ended the process with exit code 0", 'in number', RECORD]),
    "segfault": ("ctypes.string_at(0)", 128 + signal.SIGSEGV, ["stateful 'count' has crashed the process: SIGSEGV", "in number", RECORD]),
    "abort": ("os.abort()", 128 + signal.SIGABRT, ["stateful 'count' has crashed the process: SIGABRT", "in number", RECORD]),
    "overflow": (OVERFLOW, 128 + signal.SIGSEGV, ["stateful 'count' has crashed the process: SIGSEGV", "in number", RECORD]),
    "killed": ("os.kill(os.getpid(), 9)", 128 + signal.SIGKILL, ["the process was killed"]),
}


@pytest.mark.parametrize(("deed", "code", "words"), DEATHS.values(), ids=DEATHS.keys())
def test_a_function_that_ends_the_process_is_named(tmp_path: Path, deed: str, code: int, words: list[str]) -> None:
    program(tmp_path, deed)
    ended, out, err = run("app.py", *KEPT, folder=tmp_path)
    assert (ended, out) == (code, "before\n"), err
    for word in words:
        assert word in err, err
    program(tmp_path, "pass")
    assert run("app.py", *KEPT, folder=tmp_path)[0] == 0
    assert complete(tmp_path), "nothing is lost, and nothing is there twice"


def test_a_function_has_as_much_stack_as_in_a_thread_of_python(tmp_path: Path) -> None:
    # Twice of what fits into the two megabytes that threads of Rust have.
    program(tmp_path, nested(20_000 if sys.version_info < (3, 12) else 500))
    assert run("app.py", folder=tmp_path) == (0, "before\nafter\n", "")
    assert complete(tmp_path)


LIMITS = {
    "time": (LOOP, "call-timeout=300ms", ["stateful 'count' has not returned for 300ms", "while True: pass", RECORD]),
    "time-in-c": ("print('in', flush=True); (10**8)**(10**7)", "call-timeout=300ms", ["stateful 'count' has not returned for 300ms", "in number", RECORD]),
    "memory": ("hoard = []\n        while True: hoard.append(bytearray(1 << 20))", "memory-max=600MiB", ["and may have 600 MiB", "stateful 'count' is at work", RECORD]),
    "memory-in-c": ("b'x' * (4 << 30)", "memory-max=1GiB", ["and may have 1024 MiB", "stateful 'count' is at work", "in number", RECORD]),
}


@pytest.mark.parametrize(("deed", "limit", "words"), LIMITS.values(), ids=LIMITS.keys())
def test_a_function_beyond_a_limit_is_ended(tmp_path: Path, deed: str, limit: str, words: list[str]) -> None:
    program(tmp_path, deed)
    code, _, err = run("app.py", "--set", limit, folder=tmp_path)
    assert code == 1 and "error[limit-reached]" in err, err
    for word in words:
        assert word in err, err


def test_slow_calls_within_their_limit_are_left_alone(tmp_path: Path) -> None:
    program(tmp_path, "time.sleep(0.5)")
    code, _, err = run("app.py", "--set", "call-timeout=20s", "--set", "memory-max=8GiB", folder=tmp_path)
    assert (code, err) == (0, "") and complete(tmp_path)


@pytest.mark.parametrize("kept", [(), KEPT], ids=["not-kept", "kept"])
@pytest.mark.parametrize("deed", [LOOP, "print('in', flush=True); (10**8)**(10**7)"], ids=["python", "c"])
def test_ctrl_c_ends_a_function_that_does_not_return(tmp_path: Path, deed: str, kept: tuple[str, ...]) -> None:
    program(tmp_path, deed)
    with Process("-u", "app.py", *kept, folder=tmp_path) as process:
        assert process.process.stdout is not None
        assert [process.process.stdout.readline() for _ in range(2)] == ["before\n", "in\n"]
        pressed = time.monotonic()
        code, _, err = process.interrupted()
        took = time.monotonic() - pressed
    assert code == 131 and "stateful 'count' does not return, so the job cannot stop" in err, err
    assert "in number" in err and RECORD in err, err
    # The aim is a fifth of it, and for benchmarks; this is what SIGTERM gives.
    assert took < 10


def test_a_killed_watcher_takes_the_other_process_with_it(tmp_path: Path) -> None:
    program(tmp_path, LOOP)
    with Process("-u", "app.py", folder=tmp_path) as process:
        assert process.process.stdout is not None
        assert [process.process.stdout.readline() for _ in range(2)] == ["before\n", "in\n"]
        process.process.kill()
        # Its output is open for as long as anybody lives who has it.
        process.process.communicate(timeout=PATIENCE)


def test_a_copy_that_a_function_forks_writes_nothing(tmp_path: Path) -> None:
    program(tmp_path, "os.fork()")
    code, out, err = run("app.py", folder=tmp_path)
    assert (code, out) == (0, "before\nafter\n")
    assert "a function has forked, and returned in the copy too" in err, err
    assert complete(tmp_path)


def test_processes_of_functions_work(tmp_path: Path) -> None:
    program(
        tmp_path,
        "import subprocess, multiprocessing\n"
        "        assert subprocess.check_output(['echo', 'x']) == b'x\\n'\n"
        "        with multiprocessing.get_context('fork').Pool(1) as pool: assert pool.map(abs, [-1]) == [1]\n"
        "        child = os.fork()\n"
        "        if child == 0: os._exit(5)\n"
        "        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5",
    )
    # From Python 3.12 on a fork of several threads is told of.
    assert run("-W", "ignore::DeprecationWarning", "app.py", folder=tmp_path) == (0, "before\nafter\n", "")
    assert complete(tmp_path)


@pytest.mark.parametrize("kind", ["ProcessPoolExecutor(2)", "Process(target=time.sleep, args=(3600,), daemon=True).start()"])
def test_processes_that_functions_leave_end_with_the_job(tmp_path: Path, kind: str) -> None:
    for _ in range(2):
        program(
            tmp_path,
            "from concurrent.futures import ProcessPoolExecutor\n"
            "        from multiprocessing import Process\n"
            f"        thalweg.left = {kind}\n"
            "        if thalweg.left: thalweg.left.submit(abs, -1).result()",
        )
        # Whoever lives on has the output, and is waited for, and the state's folder, which the next cannot have.
        code, out, err = run("-W", "ignore::DeprecationWarning", "app.py", *KEPT, folder=tmp_path)
        assert (code, out) == (0, "before\nafter\n"), err
        assert complete(tmp_path)


def test_a_copy_that_an_async_function_forks_ends(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    (tmp_path / "app.py").write_text(
        "import os, thalweg\n"
        "async def fork(record):\n"
        "    os.fork()\n"
        "    return record\n"
        "application = thalweg.Application('forks')\n"
        "lines = application.source('in', connector='single_file', path='in.txt')\n"
        "lines.async_map(fork).sink('out', connector='single_file', path='out.txt')\n"
        "thalweg.run(application)\n"
    )
    # It waits for all that have the output.
    code, _, err = run("-W", "ignore::DeprecationWarning", "app.py", folder=tmp_path)
    assert code == 0 and "a function has forked, and returned in the copy too" in err, err
    assert (tmp_path / "out.txt").read_text() == "a\nb\n"


def test_ctrl_c_ends_a_pickle_that_does_not_return(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "app.py").write_text(
        "import thalweg\n"
        "class Endless:\n"
        "    def __reduce__(self):\n"
        "        print('in', flush=True)\n"
        "        while True: pass\n"
        "application = thalweg.Application('pickles')\n"
        "lines = application.source('in', connector='single_file', path='in.txt').map(lambda line: Endless())\n"
        "lines.key_by(lambda record: 1).stateful('count', lambda record, state: None, state=list).discard()\n"
        "thalweg.run(application)\n"
    )
    with Process("-u", "app.py", folder=tmp_path) as process:
        assert process.process.stdout is not None
        assert process.process.stdout.readline() == "in\n"
        code, _, err = process.interrupted()
    assert code == 131 and "the pickling of an object does not return" in err and "__reduce__" in err, err


DEEDS_OF_COPIES = {
    # Of a pool that ends before its processes have said that they are there: it ends them by SIGTERM.
    "terminated": "[time.sleep(60), os._exit(0)]",
    "crashed": "ctypes.string_at(0)",
}
ENDS_OF_COPIES = {"terminated": signal.SIGTERM, "crashed": signal.SIGSEGV}


@pytest.mark.parametrize("how", DEEDS_OF_COPIES)
def test_a_copy_ends_by_its_signals_and_nobody_else_does(tmp_path: Path, how: str) -> None:
    program(
        tmp_path,
        "child = os.fork()\n"
        f"        if child == 0: {DEEDS_OF_COPIES[how]}\n"
        f"        if {how!r} == 'terminated': os.kill(child, {int(signal.SIGTERM)})\n"
        f"        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -{int(ENDS_OF_COPIES[how])}\n"
        # Longer than the watcher waits for a process that had a fatal signal.
        "        time.sleep(2.5)",
    )
    code, _, err = run("app.py", folder=tmp_path)
    assert code == 0 and "has crashed" not in err, err
    assert complete(tmp_path)


def test_what_the_command_loads_is_watched_too(tmp_path: Path) -> None:
    program(tmp_path, "os._exit(7)")
    code, _, err = run("-m", "thalweg", "run", "app.py", folder=tmp_path)
    assert code == 1 and "stateful 'count' has ended the process with exit code 7" in err, err


def test_flags_from_the_program_run_it_in_its_own_process(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    (tmp_path / "app.py").write_text(
        "import thalweg\n"
        "seen = []\n"
        "application = thalweg.Application('here')\n"
        "lines = application.source('in', connector='single_file', path='in.txt')\n"
        "lines.map(seen.append).sink('out', connector='single_file', path='out.txt')\n"
        "thalweg.run(application, [])\n"
        "print(seen)\n"
    )
    assert run("app.py", folder=tmp_path) == (0, "[b'a', b'b']\n", "")


@pytest.mark.parametrize("why", ["threading.Thread(target=time.sleep, args=(1,)).start()", "pass"])
def test_a_limit_that_nobody_watches_over_is_told(tmp_path: Path, why: str) -> None:
    flags = "'--set', 'call-timeout=5m', '--set', 'memory-max=8GiB'"
    given = f", [{flags}]" if why == "pass" else ""
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "app.py").write_text(
        "import threading, time, thalweg\n"
        "application = thalweg.Application('here')\n"
        "application.source('in', connector='single_file', path='in.txt').discard()\n"
        f"{why}\n"
        f"thalweg.run(application{given})\n"
    )
    own = [] if given else ["--set", "call-timeout=5m", "--set", "memory-max=8GiB"]
    code, _, err = run("app.py", *own, folder=tmp_path)
    assert code == 0 and [line.split(":")[:2] for line in err.splitlines()] == [
        ["warning", " 'call-timeout' does nothing"],
        ["warning", " 'memory-max' does nothing"],
    ], err
