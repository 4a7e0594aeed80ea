"""Decorators that say what a function is for.

A decorated function is still the function: it can be called and tested by
itself. They are a shorthand, and a check: a decoder is refused where an encoder is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Protocol, TypeVar, cast, overload

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__thalweg__"


@dataclass(frozen=True)
class Mark:
    """What a function is for."""

    kind: str
    name: str | None = None
    many: bool = False
    state: Any = None
    on_error: Any = None
    batch: bool = False
    """Whether it is a function of whole batches, which gives these columns."""
    columns: Any = None


def mark_of(function: Any) -> Mark | None:
    """How a function was decorated, if it was."""
    mark = getattr(function, MARK, None)
    return mark if isinstance(mark, Mark) else None


def _marks(function: F, mark: Mark) -> F:
    if not callable(function):
        raise TypeError(f"a {mark.kind} is a function, not {function!r}")
    if mark_of(function) is not None:
        raise TypeError(f"'{getattr(function, '__name__', function)}' is decorated twice")
    setattr(function, MARK, mark)
    return function


class Decorator(Protocol):
    """Used as it is, or with a name and what becomes of records with which the function raises:
    `@computation`, `@computation(name="split", on_error="skip")`."""

    @overload
    def __call__(self, function: F) -> F: ...

    @overload
    def __call__(self, *, name: str | None = None, on_error: Any = None) -> Callable[[F], F]: ...


class ComputationDecorator(Decorator, Protocol):
    """Of whole batches too: `@computation(batch=True, columns=Scored)`."""

    @overload
    def __call__(self, function: F) -> F: ...

    @overload
    def __call__(
        self, *, name: str | None = None, on_error: Any = None, batch: bool = False, columns: Any = None
    ) -> Callable[[F], F]: ...


def _decorator(kind: str, many: bool) -> Decorator:
    def decorate(function: Any = None, *, name: str | None = None, on_error: Any = None, **batches: Any) -> Any:
        mark = Mark(kind, name, many, on_error=on_error, **batches)
        if mark.columns is not None and not mark.batch:
            raise TypeError("only a computation of batches gives columns: write 'batch=True'")
        if function is None:
            return lambda function: _marks(function, mark)
        return _marks(function, mark)

    return cast(Decorator, decorate)


computation = cast(ComputationDecorator, _decorator("computation", many=False))
"""One record for each, or none where it gives `None`; with `batch=True` a batch of rows with these `columns` for
each, see `Rows.map_batches`."""
computation_multi = _decorator("computation", many=True)
"""Any number of records for each."""
key_extractor = _decorator("key extractor", many=False)
"""The key of a record."""
decoder = _decorator("decoder", many=False)
"""A record of a frame's bytes, or none where it gives `None`."""
decoder_multi = _decorator("decoder", many=True)
"""Any number of records of a frame's bytes."""
encoder = _decorator("encoder", many=False)
"""A record as bytes or text."""


def state_computation(*, state: Any, name: str | None = None, on_error: Any = None) -> Callable[[F], F]:
    """A function of a record and the state of its key, which `state()` makes."""
    return lambda function: _marks(function, Mark("state computation", name, False, state, on_error))


def state_computation_multi(*, state: Any, name: str | None = None, on_error: Any = None) -> Callable[[F], F]:
    """The same, giving any number of records."""
    return lambda function: _marks(function, Mark("state computation", name, True, state, on_error))
