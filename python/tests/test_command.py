"""The command `thalweg`, as the package installs it: the same as the binary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Iterator

import pytest

import thalweg
from processes import PATIENCE

ROOT = Path(__file__).parents[2]
BINARY = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "thalweg"
SCRIPT = Path(sysconfig.get_path("scripts")) / "thalweg"

ENDLESS = """
CREATE TABLE n WITH (connector = 'impulse', event_rate = '1000');
CREATE VIEW v AS SELECT counter FROM n;
SELECT counter FROM v;
CREATE TABLE sink (w STRUCT<start TIMESTAMP, end TIMESTAMP>, n BIGINT) WITH (connector = 'stdout', format = 'json');
INSERT INTO sink SELECT tumble(INTERVAL '30 days') AS w, count(*) AS n FROM n GROUP BY w;
"""

# What a program does around its calls, and after. Its own handler must have nothing to say within
# them, and everything between: a call borrows the signals, and gives them back.
IN_PROCESS = f"""
import os, signal
from thalweg import _engine

def job():
    return _engine.main(["thalweg", "run", "-e", {ENDLESS!r}])

def interrupted():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1_000_000):
            pass
    except KeyboardInterrupt:
        return True
    return False

print("ready", flush=True)
assert job() == 130
assert interrupted(), "after the first job"
signal.signal(signal.SIGINT, signal.default_int_handler)
print("again", flush=True)
assert job() == 130
assert interrupted(), "after the second job"
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
print("over", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""


def run(*command: str | Path) -> tuple[int, bytes, bytes]:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that no test leaves behind."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], *command: str | Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.append(process)
    return process


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Reads lines until one begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"no line begins with {beginning!r}: {process.communicate()[1]}")


def test_the_version_is_the_same_everywhere() -> None:
    code, out, _ = run(SCRIPT, "--version")
    assert (code, out) == (0, f"thalweg {thalweg.__version__}\n".encode())
    assert run(BINARY, "--version") == run(SCRIPT, "--version")


@pytest.mark.parametrize("door", [(SCRIPT,), (sys.executable, "-m", "thalweg")], ids=["script", "module"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "examples/hello.sql"), 0),
        (("explain", "examples/hello.sql"), 0),
        (("check", "-e", "SELECT x FROM y"), 3),
        (("run", "no/such/file.sql"), 4),
        (("fly",), 2),
        (("--help",), 0),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_a_command_says_and_answers_what_the_binary_does(
    door: tuple[str | Path, ...], arguments: tuple[str, ...], code: int
) -> None:
    answer = run(*door, *arguments)
    assert answer[0] == code, answer[2].decode()
    assert answer == run(BINARY, *arguments)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_job(
    started: list[subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    process = start(started, SCRIPT, "run", "-e", ENDLESS)
    wait_for(process, '{"counter"')
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (code, "stopped; 1 open window did not fire\n")
    assert '"n":' not in out, "a window fired"


def test_a_call_borrows_the_signals_and_gives_them_back(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, sys.executable, "-c", IN_PROCESS)
    for word in ("ready", "again"):
        wait_for(process, word)
        wait_for(process, '{"counter"')
        process.send_signal(signal.SIGINT)
    wait_for(process, "over")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGTERM, "the system's own again"
    assert err == "stopped; 1 open window did not fire\n" * 2
