"""What type checkers are told of the engine is what it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from processes import PATIENCE

ROOT = Path(__file__).parents[2]


def test_the_stub_says_what_the_engine_has() -> None:
    check = [sys.executable, "-m", "mypy.stubtest", "thalweg._engine"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=5 * PATIENCE, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_fit_in_the_package_and_the_examples() -> None:
    config, checked = ROOT / "python/pyproject.toml", [ROOT / "python/thalweg", ROOT / "examples/python"]
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file", config, *checked]
    done = subprocess.run(check, capture_output=True, text=True, timeout=5 * PATIENCE, cwd=ROOT / "python")
    assert done.returncode == 0, done.stdout + done.stderr
