"""Windows, and what is computed over the records of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeVar, Union

A = TypeVar("A")

Seconds = Union[float, timedelta]
"""A length of time: a number of seconds, or a `timedelta`."""


class Window(NamedTuple):
    """An interval of event time, in seconds since 1970: from `start` to just before `end`.

    Of a window of so many records both are the event time of the latest.
    """

    start: float
    end: float


@dataclass(frozen=True)
class Windows:
    """Which windows there are: see `tumble`, `hop`, `session` and `count`."""

    options: dict[str, str]


def tumble(width: Seconds) -> Windows:
    """Windows of one width that touch and never overlap, aligned to 1970."""
    return _hop(seconds_of("width", width), seconds_of("width", width))


def hop(slide: Seconds, width: Seconds) -> Windows:
    """Windows of one width that begin at every multiple of the slide."""
    return _hop(seconds_of("slide", slide), seconds_of("width", width))


def _hop(slide: float, width: float) -> Windows:
    return Windows({"windows": "hop", "slide": repr(slide), "width": repr(width)})


def session(gap: Seconds) -> Windows:
    """For each key, a window from the first record to the gap behind the last."""
    return Windows({"windows": "session", "gap": repr(seconds_of("gap", gap))})


def count(records: int, *, incomplete: bool = False) -> Windows:
    """For each key, windows of so many records in the order in which they come.

    With `incomplete`, what is left when all input has ended is a window too.
    """
    if isinstance(records, bool) or not isinstance(records, int) or records < 1:
        raise ValueError(f"a window has a number of records that is at least 1, not {records!r}")
    flag = "true" if incomplete else "false"
    return Windows({"windows": "count", "records": str(records), "incomplete": flag})


class Aggregation(Protocol[A]):
    """What is computed over the records of one key in one window.

    A window is aggregated in parts, before and behind the exchange between workers, and how many there
    are depends on how records happen to come. So `combine` must give what `update` would have given, and
    an accumulator of no records must change nothing. Any object is an accumulator that can be pickled.

        class Total:
            def initial(self): return 0
            def update(self, record, total): return total + record["amount"]
            def combine(self, total, other): return total + other
            def output(self, key, window, total): return key, window.end, total
    """

    def initial(self) -> A:
        """The accumulator of no records."""

    def update(self, record: Any, accumulator: A, /) -> A:
        """The accumulator after one more record: a new one, or the same, changed. It must be given back."""

    def combine(self, accumulator: A, other: A, /) -> A:
        """What is known of the records of both. Which of them came first is not promised."""

    def output(self, key: Any, window: Window, accumulator: A, /) -> Any:
        """The result of a window that is closed; `None` is nothing. Its event time is the last instant of
        the window. Keys that are equal are one key, so a whole float or a flag comes as an int."""


_METHODS = ("initial", "update", "combine", "output")


def aggregation_of(given: Any) -> Any:
    """An aggregation, or one made by its class."""
    for name in _METHODS:
        if not callable(getattr(given, name, None)):
            wanted = "', '".join(_METHODS)
            raise TypeError(f"an aggregation has the methods '{wanted}': {given!r} has no '{name}'")
    return given() if isinstance(given, type) else given


def seconds_of(name: str, length: Seconds, *, zero: bool = False) -> float:
    """A length of time in seconds, which is above 0 unless `zero` will do."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not (seconds > 0 or zero and seconds == 0):
        least = "of at least 0" if zero else "above 0"
        raise ValueError(f"'{name}' is a number of seconds {least}, or a timedelta, not {length!r}")
    return float(seconds)
