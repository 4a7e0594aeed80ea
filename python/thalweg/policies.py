"""What becomes of a record whose function raises: the policies behind `on_error`.

    fail          the function as it is; the engine ends the job
    skip          the function, guarded ─► what it gives, or nothing
    dead letters  the function, guarded ─► what it gives, or a `Failed`, see `lowering`

A step that fails the job is not guarded, and costs nothing. Letters are records like any others:
they travel with those they are about, so whatever is promised of records is promised of them.
Exceptions that are not about a record are never passed over: `KeyboardInterrupt`, `SystemExit`,
and `MemoryError`, which the next record would only meet again.
"""

from __future__ import annotations

import math
import operator
import pickle
import sys
import threading
import traceback
from typing import Any, Callable, Iterable, Iterator, NamedTuple

# So many letters of a record or a message are shown.
_SHOWN_MAX = 200

# What the engine takes for a key.
_KEY_BYTES_MAX = 1 << 16
_KEY_DEPTH_MAX = 32

# Event times are nanoseconds in 64 bits: so many seconds on either side of 1970.
_SECONDS_MAX = 9.2e9


class DeadLetter(NamedTuple):
    """A record that a step could not go on with."""

    step: str
    """Of what kind the step is and its name: `map 'invert'`."""
    error: str
    """The class of the exception, and its message."""
    traceback: str
    """As Python prints it."""
    record: Any
    """What the function was given: a frame's bytes if it is a decoder. Its `repr` if it cannot be pickled."""


class Failed:
    """Stands among the records of a step for one that failed."""

    __slots__ = ("letter", "stream")

    def __init__(self, letter: DeadLetter, stream: int) -> None:
        self.letter = letter
        self.stream = stream
        """The step that declares the stream of dead letters for which it is."""

    def __repr__(self) -> str:
        return f"<a dead letter of {self.letter.step}>"


def went_well(record: Any) -> bool:
    """Whether a record is no dead letter."""
    return type(record) is not Failed


class Guard:
    """Takes the exceptions of one step: for a stream of dead letters, or else its record is skipped."""

    def __init__(self, step: str, letters: int | None) -> None:
        self.step = step
        self.left_out = 0
        self._letters = letters
        self._counting = threading.Lock()

    def failed(self, raised: Exception, record: Any) -> Failed | None:
        """What goes on instead: a letter, or nothing."""
        if isinstance(raised, MemoryError):
            raise raised
        if self._letters is not None:
            letter = DeadLetter(self.step, in_a_line(raised), _traceback(raised), _picklable(record))
            return Failed(letter, self._letters)
        with self._counting:
            self.left_out += 1
            first = self.left_out == 1
        if first:
            text = f"{_traceback(raised)}\nthe record was {shown(record)}".replace("\n", "\n  ")
            tell(f"warning: {self.step} left out a record: {in_a_line(raised)}\n  {text}\n  more of them are only counted")
        return None

    def one(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a record, or a record and a state, that gives one record or none."""

        def guarded(*given: Any) -> Any:
            try:
                return function(*given)
            except Exception as raised:
                return self.failed(raised, given[0])

        return guarded

    def many(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same, of one that gives any number."""

        def guarded(*given: Any) -> Iterable[Any] | None:
            try:
                records = function(*given)
                if records is None or type(records) is list or type(records) is tuple:
                    return records
                return self._each(_iterator(records), given[0])
            except Exception as raised:
                return _listed(self.failed(raised, given[0]))

        return guarded

    def _each(self, records: Iterator[Any], record: Any) -> Iterator[Any]:
        try:
            yield from records
        except Exception as raised:
            yield from _listed(self.failed(raised, record))

    def those(self, function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
        """The records of which a function holds."""

        def guarded(record: Any) -> tuple[Any, ...]:
            try:
                return (record,) if function(record) else ()
            except Exception as raised:
                return _listed(self.failed(raised, record))

        return guarded

    def keyed(self, function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
        """The records that have a key."""
        return self.those(lambda record: _check_key(function(record)))

    def timed(self, function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
        """The records that have an event time."""
        return self.those(lambda record: _check_time(function(record)))

    def encoded(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The frames of records."""

        def encode(record: Any) -> Any:
            frame = function(record)
            if isinstance(frame, str):
                frame.encode()
            elif not isinstance(frame, bytes):
                raise TypeError(f"it gave {_described(frame)}, not bytes or str")
            return frame

        return self.one(encode)


def shown(record: Any) -> str:
    """A record, for people."""
    try:
        return _cut(repr(record))
    except Exception:
        return "one that cannot be shown"


def in_a_line(raised: BaseException) -> str:
    """An exception's class and message."""
    name = type(raised).__qualname__
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
    """Says at the end of a job how many records each of its steps has left out."""
    for step, count in counts.items():
        tell(f"{count} {'record was' if count == 1 else 'records were'} left out by {step}")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _described(given: Any) -> str:
    return f"{shown(given)} of type '{type(given).__qualname__}'"


def _traceback(raised: BaseException) -> str:
    # Without the frames of guards.
    frames = raised.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(raised), raised, frames)).rstrip()


def _picklable(record: Any) -> Any:
    try:
        pickle.dumps(record, 5)
    except Exception:
        return shown(record)
    return record


def _listed(failed: Failed | None) -> tuple[Any, ...]:
    return () if failed is None else (failed,)


def _iterator(records: Any) -> Iterator[Any]:
    # A text can be iterated, and nobody means it.
    if isinstance(records, (str, bytes)) or not hasattr(type(records), "__iter__"):
        raise TypeError(f"it gave {_described(records)}, not a list or another iterable")
    return iter(records)


def _check_key(key: Any) -> bool:
    size = _key_bytes(key, 0)
    if size > _KEY_BYTES_MAX:
        raise ValueError(f"a key of {size} bytes is longer than {_KEY_BYTES_MAX}")
    return True


def _key_bytes(key: Any, depth: int) -> int:
    """How many bytes the engine writes for a key."""
    kind = type(key)
    if kind is tuple:
        if depth == _KEY_DEPTH_MAX:
            raise ValueError(f"a key has tuples within tuples, more than {_KEY_DEPTH_MAX}")
        return 9 + sum(_key_bytes(part, depth + 1) for part in key)
    if kind is str:
        return 9 + len(key.encode())
    if kind is bytes:
        return 9 + len(key)
    if kind is float and math.isnan(key):
        raise ValueError("NaN is not equal to itself, so it is no key")
    if kind is int and not -(2**63) <= key < 2**63:
        return 9 + len(str(key))
    if key is None or kind in (bool, int, float):
        return 9
    raise TypeError(f"a '{kind.__qualname__}' is no key: keys are str, bytes, int, float, bool, None, and tuples of these")


def _check_time(time: Any) -> bool:
    seconds = _seconds(time)
    if seconds is None or not abs(seconds) < _SECONDS_MAX:
        raise TypeError(f"it gave {_described(time)}, not seconds since 1970 or a datetime with a time zone")
    return True


def _seconds(time: Any) -> float | None:
    if getattr(time, "tzinfo", None) is not None:
        return float(time.timestamp())
    if isinstance(time, (str, bytes, bytearray)):
        return None
    try:
        return float(operator.index(time))
    except TypeError:
        pass
    try:
        return float(time)
    except TypeError:
        return None
