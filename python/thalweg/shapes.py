"""What is in a state, as far as its class says so."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from datetime import date, datetime, time
from typing import Annotated, Any, get_args, get_origin

from .rows import hints_of, without_none

Shape = Any
"""A word, `("list", item)`, `("dataclass", class, [(name, shape), …])`, or `("dict", class, …)`."""

_WORDS: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    date: "date",
    time: "time",
    datetime: "datetime",
}

# The engine's own column beside those of the fields.
_RESERVED = "pickle"


def shape_of(make: Any) -> Shape | None:
    """The shape of what is made by a class, or by a function that says which; none if columns cannot hold that."""
    made = make
    if not isinstance(make, type):
        try:
            made = typing.get_type_hints(make).get("return")
        except (NameError, TypeError, AttributeError):
            return None
    if not _has_fields(made):
        return None
    try:
        return _fields(made, ())
    except _Unfit:
        return None


class _Unfit(Exception):
    pass


def _has_fields(made: Any) -> bool:
    return inspect.isclass(made) and (dataclasses.is_dataclass(made) or typing.is_typeddict(made))


def _fields(made: type, within: tuple[type, ...]) -> Shape:
    if made in within:
        # It holds itself, and columns do not nest for ever.
        raise _Unfit
    try:
        hints = hints_of(made)
    except (NameError, TypeError):
        raise _Unfit from None
    if not hints or any(name == _RESERVED for name, _ in hints):
        raise _Unfit
    shapes = [(name, _shape(hint, (*within, made))) for name, hint in hints]
    return ("dataclass" if dataclasses.is_dataclass(made) else "dict", made, shapes)


def _shape(hint: Any, within: tuple[type, ...]) -> Shape:
    hint, _ = without_none(hint)
    if get_origin(hint) is Annotated:
        return _shape(get_args(hint)[0], within)
    if get_origin(hint) is list:
        return ("list", _shape(get_args(hint)[0], within))
    if hint in _WORDS:
        return _WORDS[hint]
    if _has_fields(hint):
        return _fields(hint, within)
    raise _Unfit
