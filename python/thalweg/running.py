"""Running an application, from a script or from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Sequence

from . import _engine
from .application import Application

_WORDS = ("run", "explain")

# What the module of a program is called that the command loads. State names the module of its classes,
# and one way to start a program reads what another has kept: each knows the module by both names.
_PROGRAM = "__thalweg__"


def run(application: Application, arguments: Sequence[str] | None = None) -> None:
    """Runs the application until its input ends or it is stopped.

    `arguments` are flags of `thalweg run`, by default those of this process: `python app.py
    --state-dir state`. `python app.py explain` prints the topology instead. Ends the process with the
    exit code of the engine if that is not 0.
    """
    if not isinstance(application, Application):
        raise TypeError(f"an Application is run, not {application!r}")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in (*_WORDS, "help", "--help", "-h", "--version"):
        given.insert(0, "run")
    sys.modules.setdefault(_PROGRAM, sys.modules["__main__"])
    # The engine writes past Python's own buffer: what was printed so far comes first.
    sys.stdout.flush()
    code = _engine.run(application, [Path(sys.argv[0]).name or application.name, *given])
    if code != 0:
        raise SystemExit(code)


def main() -> NoReturn:
    """The command `thalweg`, which also takes a Python program where it takes a SQL file."""
    arguments = sys.argv[1:]
    if len(arguments) > 1 and arguments[0] in _WORDS and arguments[1].endswith(".py"):
        application = load(arguments[1])
        given = [arguments[0], *arguments[2:]]
        raise SystemExit(_engine.run(application, ["thalweg", *given]))
    raise SystemExit(_engine.main(["thalweg", *arguments]))


def load(path: str) -> Application:
    """The application that a file of Python declares at its top level."""
    if not Path(path).is_file():
        _fail(4, f"error[file-not-found]: there is no file '{path}'")
    sys.path.insert(0, str(Path(path).resolve().parent))
    module = ModuleType(_PROGRAM)
    module.__file__ = path
    sys.modules[_PROGRAM] = sys.modules["__main__"] = module
    exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
    found = list({id(value): value for value in vars(module).values() if isinstance(value, Application)}.values())
    if not found:
        _fail(3, f"error[invalid-program]: '{path}' declares no application\n  help: write `application = thalweg.Application('name')` at its top level")
    if len(found) > 1:
        several = "', '".join(application.name for application in found)
        _fail(3, f"error[invalid-program]: '{path}' declares {len(found)} applications: '{several}'\n  help: keep one at its top level")
    return found[0]


def _fail(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(code)
