"""Calls of `async def` functions: many at a time, on one loop that the process shares.

    the engine's thread ─ the records of a batch ─► loop ─► `in_flight` workers ─► the function
                        ◄ the results, in order ─

The loop has a thread of its own, so a client that is bound to a loop serves all steps of all applications.
Whoever asks waits until all calls have ended, without holding the interpreter. Nothing is in flight between two
batches, which is why a checkpoint need not know of any call.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from typing import Any, Awaitable, Callable, Iterator

from . import _engine

Failure = tuple[int, BaseException]
Answers = tuple[list[Any], list[Failure]]


class AsyncCalls:
    """An async function of one record, as the engine calls it: with many."""

    def __init__(
        self,
        function: Callable[[Any], Awaitable[Any]],
        in_flight: int,
        timeout: float,
        goes_on: bool = False,
    ) -> None:
        self._function = function
        self._in_flight = in_flight
        self._timeout = timeout
        self._goes_on = goes_on
        """Whether the others are called when one has failed."""

    def __call__(self, records: list[Any]) -> Answers:
        """The results of all calls, and those that failed: whose they were, and what they raised."""
        answers = asyncio.run_coroutine_threadsafe(self._all(records), _loop())
        try:
            return answers.result()
        except BaseException:
            answers.cancel()
            raise

    async def _all(self, records: list[Any]) -> Answers:
        results: list[Any] = [None] * len(records)
        failed: list[Failure] = []
        waiting = iter(range(len(records)))
        workers = [
            asyncio.ensure_future(self._work(records, results, failed, waiting))
            for _ in range(min(self._in_flight, len(records)))
        ]
        try:
            await asyncio.gather(*workers)
        except _Failed as end:
            return results, [(end.at, end.raised)]
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return results, failed

    async def _work(
        self, records: list[Any], results: list[Any], failed: list[Failure], waiting: Iterator[int]
    ) -> None:
        for at in waiting:
            results[at], raised = await self._one(records[at])
            if raised is None:
                continue
            if not self._goes_on or not isinstance(raised, Exception):
                raise _Failed(at, raised)
            failed.append((at, raised))

    async def _one(self, record: Any) -> tuple[Any, BaseException | None]:
        """What a call gave, or what it raised."""
        task = asyncio.ensure_future(self._call(record))
        try:
            _, late = await asyncio.wait([task], timeout=self._timeout)
        finally:
            task.cancel()
        if late:
            return None, TimeoutError(f"the call took longer than {self._timeout:g} seconds")
        return (None, RuntimeError("the call was cancelled")) if task.cancelled() else task.result()

    async def _call(self, record: Any) -> tuple[Any, BaseException | None]:
        # No exception gets out: one that asks the process to exit would end the loop.
        try:
            call = self._function(record)
            if not inspect.isawaitable(call):
                raise TypeError(f"it gave {call!r}, which cannot be awaited: is it an 'async def' function?")
            result = await call
            _engine.end_if_copy()
            return result, None
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            assert raised.__traceback__ is not None, "it was raised here"
            return None, raised.with_traceback(raised.__traceback__.tb_next)


class _Failed(Exception):
    def __init__(self, at: int, raised: BaseException) -> None:
        super().__init__(at)
        self.at = at
        self.raised = raised


_shared: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, which runs from the first call on."""
    global _shared
    with _starting:
        if _shared is None:
            _shared = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(_shared,), name="thalweg-async", daemon=True).start()
        return _shared


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Runs a loop for as long as the process lives, whatever a function does to it."""
    while not loop.is_closed():
        try:
            loop.run_forever()
        except BaseException:
            # A task that a call has begun asked the process to exit. Whoever awaits it is told so too.
            continue


def _forget_loop() -> None:
    # Threads do not survive a fork.
    global _shared, _starting
    _shared, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_loop)
