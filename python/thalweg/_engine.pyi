"""The engine itself. Programs use the package around it."""

from collections.abc import Sequence
from typing import Any, final

from .application import Application

__all__ = ["Driver", "EngineError", "Supervisor", "__version__", "end_if_copy", "main", "refuse_pickles", "run"]

__version__: str

class EngineError(Exception):
    """What the engine refuses, or why it failed."""

    code: str
    """The error's name in the list of errors; `usage` where arguments cannot be read."""
    what: str
    """The error in a line."""
    why: str | None
    """What led to it, a traceback say."""

@final
class Driver:
    def __new__(cls, declared: Application) -> Driver: ...
    def frame(self, source: str, split: str, frame: bytes) -> None: ...
    def rows_in(self, source: str, split: str, rows: list[Any]) -> None: ...
    def watermark(self, source: str, seconds: float) -> None: ...
    def end(self) -> None: ...
    def restart(self) -> None: ...
    def frames(self, sink: str) -> list[bytes]: ...
    def rows(self, sink: str) -> list[dict[str, Any]]: ...

@final
class Supervisor:
    def __new__(cls, arguments: Sequence[str]) -> Supervisor: ...
    def watched(self) -> None: ...
    def ended(self) -> None: ...
    def exiting(self, stack: str) -> None: ...
    def watch(self, process: int) -> int: ...

def end_if_copy() -> None:
    """Ends this process if it is a copy that a function has forked."""

def refuse_pickles(refused: bool) -> None:
    """Refuses to make or open pickles from here on, or takes them again."""

def main(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name; the first is the command's own name. Answers the exit code."""

def run(declared: Application, arguments: Sequence[str]) -> int:
    """Runs or explains an application, as the arguments say. Answers the exit code."""
