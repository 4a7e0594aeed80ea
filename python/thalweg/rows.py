"""Columns of records, for SQL."""

from __future__ import annotations

import dataclasses
import typing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Mapping, Union, get_args, get_origin

_NAMES: dict[Any, str] = {
    int: "BIGINT",
    float: "DOUBLE",
    str: "TEXT",
    bytes: "BYTEA",
    bool: "BOOLEAN",
    datetime: "TIMESTAMP",
    date: "DATE",
    time: "TIME",
    timedelta: "INTERVAL",
    Decimal: "DECIMAL(38, 10)",
}


def columns_of(declared: Any) -> list[tuple[str, str]]:
    """Columns by name, each with its type in SQL, from a `dict` of them or from a class with type hints."""
    if isinstance(declared, Mapping):
        for name, sql in declared.items():
            if not isinstance(name, str) or not isinstance(sql, str):
                raise TypeError(f"a column is a name and a type of SQL, not {name!r}: {sql!r}")
        columns = list(declared.items())
    elif isinstance(declared, type):
        columns = [(name, _column(declared, name, hint)) for name, hint in hints_of(declared)]
    else:
        raise TypeError(f"columns are a dict of names and types of SQL, or a class with type hints, not {declared!r}")
    if not columns:
        raise TypeError("there are no columns")
    return columns


def hints_of(declared: type) -> list[tuple[str, Any]]:
    """The fields of a class, each with its hint."""
    hints = typing.get_type_hints(declared, include_extras=True)
    if dataclasses.is_dataclass(declared):
        return [(field.name, hints[field.name]) for field in dataclasses.fields(declared)]
    return [(name, hint) for name, hint in hints.items() if get_origin(hint) is not typing.ClassVar]


def _column(declared: type, name: str, hint: Any) -> str:
    inner, nullable = without_none(hint)
    sql = sql_type(inner)
    if sql is None:
        raise TypeError(
            f"'{declared.__name__}.{name}' is {hint!r}, which is no type of a column: those are "
            "bool, int, float, Decimal, str, bytes, date, time, datetime, timedelta, list[...] and dict[...] of these, "
            "classes of these, Optional[...], and Annotated[..., 'a type of SQL']"
        )
    return sql if nullable or "NOT NULL" in sql.upper() else f"{sql} NOT NULL"


def without_none(hint: Any) -> tuple[Any, bool]:
    """A hint, and whether it allows `None`."""
    if get_origin(hint) in (Union, UnionType):
        others = [part for part in get_args(hint) if part is not type(None)]
        if len(others) == 1 and len(others) < len(get_args(hint)):
            return others[0], True
    if getattr(get_origin(hint), "__name__", None) in ("NotRequired", "Required"):
        inner, nullable = without_none(get_args(hint)[0])
        return inner, nullable or get_origin(hint).__name__ == "NotRequired"
    return hint, False


def sql_type(hint: Any) -> str | None:
    """The type in SQL of values of a type in Python."""
    if get_origin(hint) is Annotated:
        named = [note for note in get_args(hint)[1:] if isinstance(note, str)]
        return named[0] if named else sql_type(get_args(hint)[0])
    if get_origin(hint) is list:
        item = sql_type(without_none(get_args(hint)[0])[0])
        return None if item is None else f"{item}[]"
    if get_origin(hint) is dict:
        key, item = (sql_type(without_none(part)[0]) for part in get_args(hint))
        return None if key is None or item is None else f"MAP({key}, {item})"
    if hint in _NAMES:
        return _NAMES[hint]
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or typing.is_typeddict(hint) or hasattr(hint, "_fields")):
        parts = [(name, sql_type(without_none(part)[0])) for name, part in hints_of(hint)]
        if all(part is not None for _, part in parts):
            declared = ", ".join(f'"{name}" {part}' for name, part in parts)
            # SQL would read '>>' as one sign, and what stands behind it as a part of the inner one.
            return f"STRUCT<{declared}{' ' if declared.endswith('>') else ''}>"
    return None
