"""Work in a process of its own, which this one watches."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import warnings
from typing import Any, Callable, NoReturn

from . import _engine
from .policies import tell

# So many frames of a stack are shown, the innermost.
_FRAMES = 20

# So many seconds a process has to end.
_ENDS_WITHIN = 1.0

# The exit code of a job that a second signal has aborted.
_ABORTED = 131


def supervised(work: Callable[[], int], arguments: list[str]) -> int:
    """Does work in a fork of this process. Answers its exit code, after words of what it could not say itself.

    Where other threads run a fork would leave them behind: there the work is done here, and nobody watches.
    """
    if threading.active_count() > 1 or threading.current_thread() is not threading.main_thread():
        tell_unwatched(arguments)
        return alone(work)
    # What is in the buffers would come out of both.
    _flushed()
    supervisor = _engine.Supervisor(arguments)
    with warnings.catch_warnings():
        # Libraries have threads that Python knows nothing of, and that know of forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process > 0:
        return supervisor.watch(process)
    _watched(work, supervisor)


def tell_unwatched(arguments: list[str]) -> None:
    """Says which of the arguments ask for what only another process can see to."""
    for limit in ("call-timeout", "memory-max"):
        if any(argument.removeprefix("--set=").startswith(f"{limit}=") for argument in arguments):
            tell(f"warning: '{limit}' does nothing: this process is not watched, since 'run' was given its flags, or threads have begun before")


def alone(work: Callable[[], int]) -> int:
    """Does work in this process. Answers its exit code."""
    # The engine writes past Python's own buffer: what was printed so far comes first.
    _flushed()
    code = work()
    if code == _ABORTED:
        # A function may still be running and never return. An interpreter that is taken down around
        # it crashes, so the process ends as it is.
        _flushed()
        os._exit(code)
    return code


def _flushed() -> bool:
    """Writes out what was printed so far. Answers whether that was possible: whoever listened may be gone."""
    done = True
    # A function may have put anything in their place, or closed them.
    streams: list[Any] = [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    for stream in streams:
        if hasattr(stream, "flush") and not getattr(stream, "closed", False):
            try:
                stream.flush()
            except (OSError, ValueError):
                done = False
    return done


def _processes() -> set[Any]:
    """The processes that this one has begun by `multiprocessing`."""
    multiprocessing = sys.modules.get("multiprocessing")
    return set(multiprocessing.active_children()) if multiprocessing else set()


def _end_processes(processes: set[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_ENDS_WITHIN)
        if process.is_alive():
            process.kill()
            process.join(_ENDS_WITHIN)


def _watched(work: Callable[[], int], supervisor: _engine.Supervisor) -> NoReturn:
    end, this, others = os._exit, os.getpid(), _processes()

    def exit_and_tell(status: Any) -> NoReturn:
        if os.getpid() == this:
            supervisor.exiting("".join(traceback.format_stack(sys._getframe(1), _FRAMES)))
        end(status)

    code = 1
    try:
        supervisor.watched()
        os._exit = exit_and_tell
        code = work()
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        # What a function began would stay, and hold what it has open of ours.
        _end_processes(_processes() - others)
        # Not by way of what the program has left to do at its end: that is for the process that it began in.
        if not _flushed():
            code = code or 1
        supervisor.ended()
        end(code)
