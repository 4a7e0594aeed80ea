"""A program in a test: one thread, no clock, nothing that waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import _engine
from .application import Application


class Driver:
    """Drives an application by hand.

    Its sources take what `frame` gives them instead of what their connectors read, and what comes
    to its sinks is kept. The same calls give the same output, always.
    """

    def __init__(self, application: Application) -> None:
        self._driver = _engine.Driver(application)

    def frame(self, source: str, frame: bytes | str, *, split: str = "0") -> None:
        """Gives one frame to a source, and carries it through the program."""
        self._driver.frame(source, split, frame.encode() if isinstance(frame, str) else frame)

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
        """The same, one behind the other, as text."""
        return b"".join(self.frames(sink)).decode()
