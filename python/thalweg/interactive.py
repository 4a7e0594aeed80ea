"""Jobs that somebody runs at a prompt or in a notebook, whose process must live on.

What ends a process elsewhere is an exception here: the engine's last words are held
back and become its text. All else that the engine says is passed on as it comes.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import threading
from typing import Any, Callable

from ._engine import EngineError

# The exit codes of a job that one signal has stopped, and that a second one has aborted.
_INTERRUPTED = (130, 131)

# So many bytes of an error are shown.
_ERROR_BYTES_MAX = 1 << 16

_ERROR = re.compile(r"error\[([a-z-]+)\]: ([^\n]*)\n?(.*)", re.DOTALL)
# The reason, up to the next part; its own lines are indented as far as it is.
_WHY = re.compile(r"^ *= why: (.*?)(?=\n *= \w+:|\Z)", re.DOTALL | re.MULTILINE)
_ERROR_BEGINS = re.compile(rb"error(\[|:)")
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


def interactive() -> bool:
    """Whether a prompt or a notebook is waiting for what comes out."""
    return hasattr(sys, "ps1")


def answered(work: Callable[[], int]) -> None:
    """Does work whose answer is an exit code.

    Raises `EngineError` if it failed, and `KeyboardInterrupt` if it was interrupted.
    """
    with _Stderr() as heard:
        code = work()
    if code in _INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        raise _error(code, heard.error)


def _error(code: int, said: str) -> EngineError:
    error = EngineError(said.strip() or f"the job ended with exit code {code}")
    found = _ERROR.match(said)
    why = _WHY.search(found[3]) if found else None
    # What is no error of the engine is one of the arguments.
    kind, what = (found[1], found[2]) if found else ("usage", str(error).partition("\n")[0].removeprefix("error: "))
    vars(error).update(code=kind, what=what, why=textwrap.dedent(f"        {why[1]}").strip() if why else None)
    return error


# The process has one standard error, which one job at a time can listen to. Others beside it end without words.
_heard = threading.Lock()


class _Stderr:
    """Standard error of this process, while the engine writes to it: an error is kept, all else passed on."""

    error = ""

    def __enter__(self) -> _Stderr:
        self._hears = _heard.acquire(blocking=False)
        if not self._hears:
            return self
        sys.stderr.flush()
        self._own = os.dup(2)
        read, write = os.pipe()
        os.dup2(write, 2)
        os.close(write)
        self._reader = threading.Thread(target=self._read, args=(read,), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if not self._hears:
            return
        sys.stderr.flush()
        os.dup2(self._own, 2)
        self._reader.join()
        os.close(self._own)
        _heard.release()

    def _read(self, read: int) -> None:
        kept: list[bytes] = []
        with os.fdopen(read, "rb") as lines:
            for line in lines:
                plain = _COLOURS.sub(b"", line)
                if kept or _ERROR_BEGINS.match(plain):
                    kept.append(plain)
                else:
                    os.write(self._own, line)
        self.error = b"".join(kept)[:_ERROR_BYTES_MAX].decode(errors="replace")
