"""What becomes of a record whose function raises: the policies behind `on_error`.

    fail          the engine ends the job
    skip          the engine asks the step's guard, which counts
    dead letters  the engine asks the step's guard, which gives a letter for the step's side output

A function is called by the engine as it is, whatever the policy, and a record that goes well costs the same.
Exceptions that are not about a record never come here: `KeyboardInterrupt`, `SystemExit`, and `MemoryError`,
which the next record would only meet again.
"""

from __future__ import annotations

import sys
import threading
import traceback
from typing import Any, NamedTuple

# So many letters of a record or a message are shown.
_SHOWN_MAX = 200


class DeadLetter(NamedTuple):
    """A record that a step could not go on with."""

    step: str
    """Of what kind the step is and its name: `map 'invert'`."""
    error: str
    """The class of the exception, and its message."""
    traceback: str
    """As Python prints it."""
    record: Any
    """What the function was given: a frame's bytes if it is a decoder, a batch if it is one of batches, the
    accumulator where no single record can be told. Its `repr` if it cannot be written down."""


class Guard:
    """Judges the exceptions of one step: it gives letters, or else the record is skipped."""

    def __init__(self, step: str, letters: bool) -> None:
        self.step = step
        self.left_out = 0
        self._letters = letters
        self._counting = threading.Lock()

    def failed(self, raised: Exception, record: Any) -> DeadLetter | None:
        """What becomes of a record: a letter, or nothing."""
        if self._letters:
            return DeadLetter(self.step, in_a_line(raised), _traceback(raised), record)
        with self._counting:
            self.left_out += 1
            first = self.left_out == 1
        if first:
            text = f"{_traceback(raised)}\nthe record was {shown(record)}".replace("\n", "\n  ")
            tell(f"warning: {self.step} left out a record: {in_a_line(raised)}\n  {text}\n  more of them are only counted")
        return None


    def waited(self, letters: list[DeadLetter], more: int) -> list[DeadLetter]:
        """What becomes of letters that waited for the end of their window, and of so many more that did not fit."""
        if not self._letters:
            with self._counting:
                self.left_out += len(letters) + more
            return []
        if more:
            error = f"{more} more records failed in this window, beyond the letters that it can keep"
            letters.append(DeadLetter(self.step, error, "", None))
        return letters


def shown(record: Any) -> str:
    """A record, for people."""
    try:
        return _cut(repr(record))
    except Exception:
        return "one that cannot be shown"


def in_a_line(raised: BaseException) -> str:
    """An exception's class and message."""
    try:
        name = type(raised).__qualname__
    except Exception:
        return "an exception"
    try:
        text = str(raised)
    except Exception:
        return name
    return f"{name}: {_cut(text)}" if text else name


def tell(text: str) -> None:
    """Says something on standard error, if anybody can hear it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        # It is closed, or none: that is no reason to end a job which goes on without those records.
        pass


def tell_left_out(counts: dict[str, int]) -> None:
    """Says at the end of a job how many records each of its steps has left out, or batches."""
    for step, count in counts.items():
        thing = "batch" if step.startswith("map_batches") else "record"
        things = {"batch": "batches", "record": "records"}[thing]
        tell(f"{count} {f'{thing} was' if count == 1 else f'{things} were'} left out by {step}")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _traceback(raised: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(raised), raised, raised.__traceback__)).rstrip()
    except Exception:
        # What was raised cannot be shown, and where it was can.
        return "".join(traceback.format_tb(raised.__traceback__)).rstrip()
