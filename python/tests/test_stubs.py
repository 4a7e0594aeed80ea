"""What type checkers are told of the engine is what it has."""

from __future__ import annotations

import subprocess
import sys


def test_the_stub_says_what_the_engine_has() -> None:
    check = [sys.executable, "-m", "mypy.stubtest", "thalweg._engine"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
