"""Running an application, from a script or from the command line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Callable, NoReturn, Sequence

from . import _engine
from .application import Application
from .interactive import answered, interactive
from .policies import tell_left_out
from .supervision import alone, supervised, tell_unwatched

_WORDS = ("run", "check", "explain")

# The flag that only Python has.
_NO_PICKLE = "--no-pickle"

_HELP = f"""
In Python:
      A FILE that ends with '.py' is a program: its application is run

      {_NO_PICKLE}
          Refuse state and records that can only be pickled
"""

# What the module of a program is called that the command loads. State names the module of its classes,
# and one way to start a program reads what another has kept: each knows the module by both names.
_PROGRAM = "__thalweg__"

# While the command loads a file: the applications that the file itself would run.
_loading: list[Application] | None = None


def run(application: Application, arguments: Sequence[str] | None = None) -> None:
    """Runs the application until its input ends or it is stopped.

    `arguments` are flags of `thalweg run`, by default those of this process: `python app.py
    --state-dir state`. `python app.py explain` prints the topology instead. Ends the process with the
    exit code of the engine if that is not 0. In a file that the command `thalweg` loads it runs nothing:
    the command does, with flags of its own.

    With the flags of this process the work is done by a fork of it, and this one watches. With flags from
    `arguments` it is done here. At a prompt or in a notebook there are no flags but these, and what would
    end the process is raised: `EngineError`, or `KeyboardInterrupt`.
    """
    if not isinstance(application, Application):
        raise TypeError(f"an Application is run, not {application!r}")
    if isinstance(arguments, str):
        raise TypeError(f"arguments are a list of texts: {arguments.split()!r}")
    if _loading is not None:
        _loading.append(application)
        return
    here = interactive()
    # What stands behind the name of a notebook's process is for the notebook.
    own = [] if here else sys.argv[1:]
    given = list(own if arguments is None else arguments)
    if not given or given[0] not in (*_WORDS, "help", "--help", "-h"):
        given.insert(0, "run")
    sys.modules.setdefault(_PROGRAM, sys.modules["__main__"])
    name = Path(sys.argv[0]).name or application.name
    watched = arguments is None and given[0] == "run" and not here
    if not watched:
        tell_unwatched(_flags(given))
    if here:
        return answered(_work(application, [name, *given]))
    code = _run(application, [name, *given], watched=watched)
    if code != 0:
        raise SystemExit(code)


def _run(application: Application, arguments: list[str], *, watched: bool) -> int:
    work = _work(application, arguments)
    return supervised(work, arguments) if watched else alone(work)


def _work(application: Application, arguments: list[str]) -> Callable[[], int]:
    refuse, arguments = _without_own(arguments)

    def work() -> int:
        application._begin()
        _engine.refuse_pickles(refuse)
        code = _engine.run(application, arguments)
        tell_left_out(application._left_out())
        _help(arguments)
        return code

    return work


def _without_own(arguments: list[str]) -> tuple[bool, list[str]]:
    """Whether pickles are refused, and the arguments without the flag that says so."""
    refuse = _NO_PICKLE in _flags(arguments)
    return refuse, [argument for argument in arguments if not refuse or argument != _NO_PICKLE]


def _help(arguments: list[str]) -> None:
    """Behind the help that was asked for, what only Python has."""
    if arguments[1:2] == ["run"] and {"--help", "-h"} & set(_flags(arguments)):
        print(_HELP, end="")


def _flags(arguments: list[str]) -> list[str]:
    """The arguments before those that are the application's own."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def main() -> NoReturn:
    """The command `thalweg`, which also takes a Python program where it takes a SQL file."""
    arguments = sys.argv[1:]
    files = (at for at, argument in enumerate(arguments) if argument.endswith((".py", ".sql")))
    program = next(files, 0)
    if program > 0 and arguments[program].endswith(".py") and arguments[0] in _WORDS:
        application = load(arguments.pop(program))
        raise SystemExit(_run(application, ["thalweg", *arguments], watched=arguments[0] == "run"))

    refuse, arguments = _without_own(arguments)

    def work() -> int:
        _engine.refuse_pickles(refuse)
        code = _engine.main(["thalweg", *arguments])
        _help(["thalweg", *arguments])
        return code

    raise SystemExit(supervised(work, arguments) if arguments[:1] == ["run"] else alone(work))


def load(path: str) -> Application:
    """The application that a file of Python declares at its top level."""
    if not Path(path).is_file():
        _fail(4, f"error[file-not-found]: there is no file '{path}'\n  help: name a Python file that exists, by its path from here")
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
        exec(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True), vars(module))
    except Exception as raised:
        # Without this frame.
        frames = raised.__traceback__.tb_next if raised.__traceback__ else None
        traceback.print_exception(type(raised), raised, frames)
        _fail(3, f"error[invalid-program]: '{path}' cannot be loaded: {type(raised).__name__}\n  help: mend what the traceback above shows; 'python {path}' fails in the same way")
    finally:
        _loading = None
    declared = (value for value in vars(module).values() if isinstance(value, Application))
    return list({id(application): application for application in run or declared}.values())


def _fail(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr, flush=True)
    raise SystemExit(code)
