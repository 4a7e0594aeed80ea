"""Running an application, from a script or from the command line."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Sequence

from . import _engine
from .application import Application

_WORDS = ("run", "explain")

# What the module of a program is called that the command loads. State names the module of its classes,
# and one way to start a program reads what another has kept: each knows the module by both names.
_PROGRAM = "__thalweg__"

# The exit code of a job that a second signal has aborted.
_ABORTED = 131

# While the command loads a file: the applications that the file itself would run.
_loading: list[Application] | None = None


def run(application: Application, arguments: Sequence[str] | None = None) -> None:
    """Runs the application until its input ends or it is stopped.

    `arguments` are flags of `thalweg run`, by default those of this process: `python app.py
    --state-dir state`. `python app.py explain` prints the topology instead. Ends the process with the
    exit code of the engine if that is not 0. In a file that the command `thalweg` loads it runs nothing:
    the command does, with flags of its own.
    """
    if not isinstance(application, Application):
        raise TypeError(f"an Application is run, not {application!r}")
    if _loading is not None:
        _loading.append(application)
        return
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in (*_WORDS, "help", "--help", "-h"):
        given.insert(0, "run")
    sys.modules.setdefault(_PROGRAM, sys.modules["__main__"])
    code = _run(application, [Path(sys.argv[0]).name or application.name, *given])
    if code != 0:
        raise SystemExit(code)


def _run(application: Application, arguments: list[str]) -> int:
    # The engine writes past Python's own buffer: what was printed so far comes first.
    sys.stdout.flush()
    code = _engine.run(application, arguments)
    if code == _ABORTED:
        # A function may still be running and never return. An interpreter that is taken down around
        # it crashes, so the process ends as it is.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def main() -> NoReturn:
    """The command `thalweg`, which also takes a Python program where it takes a SQL file."""
    arguments = sys.argv[1:]
    program = next((at for at, argument in enumerate(arguments) if argument.endswith(".py")), 0)
    if program > 0 and arguments[0] in _WORDS:
        application = load(arguments.pop(program))
        raise SystemExit(_run(application, ["thalweg", *arguments]))
    raise SystemExit(_engine.main(["thalweg", *arguments]))


def load(path: str) -> Application:
    """The application that a file of Python declares at its top level."""
    if not Path(path).is_file():
        _fail(4, f"error[file-not-found]: there is no file '{path}'")
    sys.path.insert(0, str(Path(path).resolve().parent))
    module = ModuleType(_PROGRAM)
    module.__file__ = path
    sys.modules[_PROGRAM] = sys.modules["__main__"] = module
    found = _applications(path, module)
    if not found:
        _fail(3, f"error[invalid-program]: '{path}' declares no application\n  help: write `application = thalweg.Application('name')` at its top level")
    if len(found) > 1:
        several = "', '".join(application.name for application in found)
        _fail(3, f"error[invalid-program]: '{path}' declares {len(found)} applications: '{several}'\n  help: keep one at its top level")
    return found[0]


def _applications(path: str, module: ModuleType) -> list[Application]:
    """What a file runs, or else what it declares."""
    global _loading
    run: list[Application] = []
    _loading = run
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
    except Exception as raised:
        # Without this frame.
        frames = raised.__traceback__.tb_next if raised.__traceback__ else None
        traceback.print_exception(type(raised), raised, frames)
        _fail(3, f"error[invalid-program]: '{path}' cannot be loaded: {type(raised).__name__}")
    finally:
        _loading = None
    declared = (value for value in vars(module).values() if isinstance(value, Application))
    return list({id(application): application for application in run or declared}.values())


def _fail(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr, flush=True)
    raise SystemExit(code)
