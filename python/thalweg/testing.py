"""A program in a test: one thread, no clock, nothing that waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Callable, Iterable

from . import _engine
from .application import Application, Step

# What a frame begins with that stands for a record, which no decoder is to see.
_RECORD = b"\x00thalweg record "


class Driver:
    """Drives an application by hand.

    Its sources take what `frame`, `record` and `rows_in` give them instead of what their connectors read, and what
    comes to its sinks is kept. The tables that its SQL declares are sources and sinks too, by their names; one that
    several scripts declare is read by each. The same calls give the same output, always.
    """

    def __init__(self, application: Application) -> None:
        if not isinstance(application, Application):
            raise TypeError(f"an Application is driven, not {application!r}")
        self._application = application
        self._records: dict[bytes, Any] = {}
        self._given = 0
        application._begin()
        self._driver = _engine.Driver(_Fed(application, self._records))

    def frame(self, source: str, frame: bytes | str, *, split: str = "0") -> None:
        """Gives one frame to a source, and carries it through the program."""
        self._driver.frame(source, split, frame.encode() if isinstance(frame, str) else frame)

    def record(self, source: str, record: Any, *, split: str = "0") -> None:
        """Gives one record to a source, as if its decoder had given it, and carries it through the program. To a table
        it is a row."""
        if not any(step.kind == "source" and step.name == source for step in self._application.steps):
            self.rows_in(source, [record], split=split)
            return
        self._given += 1
        frame = _RECORD + str(self._given).encode()
        self._records[frame] = record
        try:
            self._driver.frame(source, split, frame)
        finally:
            self._records.pop(frame, None)

    def rows_in(self, source: str, rows: Iterable[Any], *, split: str = "0") -> None:
        """Gives rows to a table, of the application or of its SQL, and carries them through the program as one batch.
        Each is a `dict` of its columns, or an object with attributes. Columns that no query reads may be left out."""
        self._driver.rows_in(source, split, list(rows))

    def watermark(self, source: str, time: float | datetime) -> None:
        """The source says that no more records before `time` will come."""
        self._driver.watermark(source, time.timestamp() if isinstance(time, datetime) else float(time))

    def end(self) -> None:
        """All sources were read to their end."""
        self._driver.end()

    def restart(self) -> None:
        """Takes a checkpoint, throws every operator away, and goes on with new ones from the checkpoint."""
        self._driver.restart()

    def frames(self, sink: str) -> list[bytes]:
        """The frames that came to a sink so far."""
        return self._driver.frames(sink)

    def rows(self, sink: str) -> list[dict[str, Any]]:
        """The rows that came to a sink of rows so far, each a `dict` of its columns."""
        return self._driver.rows(sink)

    def text(self, sink: str) -> str:
        """The frames that came to a sink so far, one behind the other, as text."""
        return b"".join(self.frames(sink)).decode()

    def left_out(self) -> dict[str, int]:
        """How many records each step has left out whose `on_error` is `skip`, by its kind and name."""
        return self._application._left_out()


class _Fed(Application):
    """An application whose decoders give the records that a driver was given."""

    def __init__(self, application: Application, records: dict[bytes, Any]) -> None:
        super().__init__(application.name)
        self.functions = application.functions
        self.steps = [
            replace(step, function=_fed(step, records)) if step.kind == "source" else step for step in application.steps
        ]


def _fed(step: Step, records: dict[bytes, Any]) -> Callable[[bytes], Any]:
    decode: Any = step.function

    def decode_or_take(frame: bytes) -> Any:
        if frame not in records:
            return decode(frame)
        record = records.pop(frame)
        return [record] if step.many else record

    return decode_or_take
