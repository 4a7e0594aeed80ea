"""What is in a state, as far as its class says so."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from datetime import date, datetime, time
from typing import Annotated, Any, get_args, get_origin

from .rows import hints_of, without_none

Shape = Any
"""A word, `("list", item)`, `("dataclass", class, fields)`, `("dict", class, fields)`, or `("other", words)` for what
no column holds. A field is `(name, shape, default)`, and the default is `None` where there is none, or
`("value", value)`, `("factory", function)`, or `("absent", None)`: it may be left out."""

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
    """The shape of what is made by a class, or by a function that says which; none if it declares no fields."""
    made = make
    if not isinstance(make, type):
        try:
            made = typing.get_type_hints(make).get("return")
        except (NameError, TypeError, AttributeError):
            return None
    shape = _fields(made, ()) if _has_fields(made) else None
    # A field of this name would hide the engine's own column.
    is_hidden = shape is None or shape[0] == "other" or any(name == _RESERVED for name, _, _ in shape[2])
    return None if is_hidden else shape


def _has_fields(made: Any) -> bool:
    return inspect.isclass(made) and (dataclasses.is_dataclass(made) or typing.is_typeddict(made))


def _fields(made: type, within: tuple[type, ...]) -> Shape:
    try:
        hints = hints_of(made)
    except (NameError, TypeError):
        return _other(made)
    if not hints or made in within:
        # Columns do not nest for ever, as a class does that holds itself.
        return _other(made)
    if dataclasses.is_dataclass(made):
        defaults = {field.name: _default(field) for field in dataclasses.fields(made)}
        kind = "dataclass"
    else:
        defaults = {name: None if _is_required(made, name, hint) else ("absent", None) for name, hint in hints}
        kind = "dict"
    return (kind, made, [(name, _shape(hint, (*within, made)), defaults[name]) for name, hint in hints])


def _default(field: dataclasses.Field[Any]) -> tuple[str, Any] | None:
    if field.default is not dataclasses.MISSING:
        return ("value", field.default)
    if field.default_factory is not dataclasses.MISSING:
        return ("factory", field.default_factory)
    return None


def _is_required(made: Any, name: str, hint: Any) -> bool:
    # Hints that are texts say it to whoever reads them, and not to the class.
    said = getattr(get_origin(hint), "__name__", None)
    return said == "Required" or (said != "NotRequired" and name in made.__required_keys__)


def _shape(hint: Any, within: tuple[type, ...]) -> Shape:
    hint, _ = without_none(hint)
    if get_origin(hint) is Annotated:
        return _shape(get_args(hint)[0], within)
    if get_origin(hint) is list:
        return ("list", _shape(get_args(hint)[0], within))
    if isinstance(hint, typing.Hashable) and hint in _WORDS:
        return _WORDS[hint]
    if _has_fields(hint):
        return _fields(hint, within)
    return _other(hint)


def _other(hint: Any) -> Shape:
    return ("other", getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", ""))
