"""What is in a state, as far as its class says so."""

from __future__ import annotations

import copyreg
import dataclasses
import inspect
import types
import typing
from datetime import date, datetime, time
from typing import Annotated, Any, get_args, get_origin

from .rows import hints_of, without_none

Shape = Any
"""A word, `("list", item)`, `("dataclass", class, fields)`, `("dict", class, fields)`, `("pickled", class, fields)` for a
dataclass whose objects are not just their fields, or `("other", words)` for what no column holds. A field is `(name, shape, default)`, and the default is `None` where there is none, or
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

# The engine's own column beside those of the fields, which a field of this name would hide.
_RESERVED = "pickle"

# What says how an object is pickled, and so what of it is to be kept, or how its attributes are read.
_OWN = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
    "__getattribute__",
)


def shape_of(make: Any) -> Shape | None:
    """The shape of what is made by a class, or by a function that says which; none if it declares no fields."""
    made = make
    if not isinstance(make, type):
        try:
            made = typing.get_type_hints(make).get("return")
        except Exception:  # A hint is run where it is read, and so may raise anything.
            return None
    shape = _fields(made, ()) if _has_fields(made) else None
    if shape is None or shape[0] == "other":
        return None
    kind, made, fields = shape
    reserved = _other("a field with the name of the column 'pickle'")
    return (kind, made, [(name, reserved if name == _RESERVED else held, default) for name, held, default in fields])


def _has_fields(made: Any) -> bool:
    return inspect.isclass(made) and (dataclasses.is_dataclass(made) or typing.is_typeddict(made))


def _fields(made: type, within: tuple[type, ...]) -> Shape:
    hints = _hints(made)
    if not hints or made in within:
        # Columns do not nest for ever, as a class does that holds itself.
        return _other(made)
    if dataclasses.is_dataclass(made):
        defaults = {field.name: _default(field) for field in dataclasses.fields(made)}
        kind = "dataclass" if _is_its_fields(made) else "pickled"
    else:
        defaults = {name: None if _is_required(made, name, hint) else ("absent", None) for name, hint in hints}
        kind = "dict"
    return (kind, made, [(name, _shape(hint, (*within, made)), defaults[name]) for name, hint in hints])


def _hints(made: type) -> list[tuple[str, Any]]:
    """The fields of a class, each with its hint, which stays as it is written where it cannot be read."""
    try:
        return hints_of(made)
    except Exception:
        # Many a hint names what only type checkers import.
        return [(name, _hint(declares, name, written)) for declares, name, written in _written(made)]


def _written(made: type) -> list[tuple[type, str, Any]]:
    """The fields of a class, each with the class that declares it and its hint as it is written."""
    if dataclasses.is_dataclass(made):
        return [(_declares(made, field), field.name, field.type) for field in dataclasses.fields(made)]
    try:
        return [(made, name, written) for name, written in inspect.get_annotations(made).items()]
    except Exception:
        return []


def _declares(made: type, field: dataclasses.Field[Any]) -> type:
    bases = reversed(made.__mro__)
    return next(base for base in bases if vars(base).get("__dataclass_fields__", {}).get(field.name) is field)


def _hint(declares: type, name: str, written: Any) -> Any:
    alone = type(declares.__name__, (), {"__annotations__": {name: written}, "__module__": declares.__module__})
    try:
        return typing.get_type_hints(alone, localns=dict(vars(declares)), include_extras=True)[name]
    except Exception:
        return getattr(written, "__forward_arg__", written)


def _is_its_fields(made: type) -> bool:
    """Whether an object can be made of its fields alone."""
    bases = made.__mro__
    # Classes that are not written in Python, as `list` is, hold what is no attribute, and make their own objects.
    makers = (vars(base).get("__new__") for base in bases)
    if next(maker for maker in makers if isinstance(maker, types.BuiltinFunctionType)) is not object.__new__:
        return False
    if made in copyreg.dispatch_table or any(_is_own(made, name) for name in _OWN):
        return False
    # A property of the name of a field need not give what was set.
    names = [field.name for field in dataclasses.fields(made)]
    found = [inspect.getattr_static(made, name, None) for name in names]
    if any(hasattr(type(there), "__set__") and not isinstance(there, types.MemberDescriptorType) for there in found):
        return False
    slots = {name for base in bases for name, there in vars(base).items() if isinstance(there, types.MemberDescriptorType)}
    # A slot that is not set would be looked for by `__getattr__`.
    return slots <= set(names) and not (slots and hasattr(made, "__getattr__"))


def _is_own(made: type, name: str) -> bool:
    found = getattr(made, name, None)
    return found is not getattr(object, name, None) and getattr(found, "__module__", None) != "dataclasses"


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
    if get_origin(hint) is list and get_args(hint):
        return ("list", _shape(get_args(hint)[0], within))
    if isinstance(hint, type) and hint in _WORDS:
        return _WORDS[hint]
    if _has_fields(hint):
        return _fields(hint, within)
    return _other(hint)


def _other(hint: Any) -> Shape:
    return ("other", getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", ""))
