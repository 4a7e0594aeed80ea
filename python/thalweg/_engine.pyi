"""The engine itself. Programs use the package around it."""

from collections.abc import Sequence
from typing import Any, final

from .application import Application

__all__ = ["Driver", "EngineError", "__version__", "main", "run"]

__version__: str

class EngineError(Exception):
    """What the engine refuses, or why it failed."""

@final
class Driver:
    def __new__(cls, declared: Application) -> Driver: ...
    def frame(self, source: str, split: str, frame: bytes) -> None: ...
    def watermark(self, source: str, seconds: float) -> None: ...
    def end(self) -> None: ...
    def restart(self) -> None: ...
    def frames(self, sink: str) -> list[bytes]: ...
    def rows(self, sink: str) -> list[dict[str, Any]]: ...

def main(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name; the first is the command's own name. Answers the exit code."""

def run(declared: Application, arguments: Sequence[str]) -> int:
    """Runs or explains an application, as the arguments say. Answers the exit code."""
