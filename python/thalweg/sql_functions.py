"""Functions that SQL calls, written in Python.

`Application.function` declares them for the SQL of a program. In a script they stand in
`CREATE FUNCTION … LANGUAGE python AS $$ … $$`.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import textwrap
import traceback
import typing
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Callable, Sequence, TypeVar, overload

from .functions import MARK, Mark, mark_of
from .rows import sql_type, without_none
from .windows import aggregation_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C")

_FUNCTION = "SQL function"
_AGGREGATE = "SQL aggregate"


@dataclass(frozen=True)
class SqlFunction:
    """A function, as the engine reads it."""

    name: str
    kind: str
    """`scalar` for one call for each row, `batch` for one over columns, `aggregate` for an aggregation."""
    arguments: list[tuple[str, str, bool]]
    """The name of each argument, its type in SQL, and whether it may be `None`."""
    returns: str
    nullable: bool
    """Whether it may give `None`."""
    function: Any


@dataclass(frozen=True)
class Given:
    """What a decorator says that hints do not."""

    batch: bool = False
    arguments: Sequence[Any] | None = None
    returns: Any = None


class BodyError(ValueError):
    """The body of a function in a script does not define what is declared."""


@overload
def udf(function: F) -> F: ...


@overload
def udf(
    *, name: str | None = None, batch: bool = False, arguments: Sequence[Any] | None = None, returns: Any = None
) -> Callable[[F], F]: ...


def udf(
    function: Any = None,
    *,
    name: str | None = None,
    batch: bool = False,
    arguments: Sequence[Any] | None = None,
    returns: Any = None,
) -> Any:
    """A function that SQL calls for each row: `@thalweg.udf`, or `@thalweg.udf(name="score")`.

    Its type hints are its types in SQL. Without `Optional` an argument is never `None`: a row with
    NULL there gives NULL without a call. Equal arguments must give equal results.

    With `batch` it is called once for many rows, with a column for each argument, and gives a column:
    a `pyarrow.Array`, or any object with the Arrow PyCapsule interface. `arguments` and `returns` then say
    the types, as hints or as types of SQL: `@thalweg.udf(batch=True, arguments=[float], returns=float)`.
    """
    mark = Mark(_FUNCTION, name, state=Given(batch, arguments, returns))
    return _marked(function, mark)


@overload
def udaf(aggregation: type[C]) -> type[C]: ...


@overload
def udaf(
    *, name: str | None = None, arguments: Sequence[Any] | None = None, returns: Any = None
) -> Callable[[type[C]], type[C]]: ...


def udaf(
    aggregation: Any = None,
    *,
    name: str | None = None,
    arguments: Sequence[Any] | None = None,
    returns: Any = None,
) -> Any:
    """A class that SQL calls for each group of rows. The hints of `update` and `output` are its types.

        @thalweg.udaf
        class Total:
            def initial(self): return 0
            def update(self, amount: int, total): return total + amount
            def combine(self, total, other): return total + other
            def output(self, total) -> int: return total

    `update` takes the arguments, and behind them the accumulator. A row with NULL in an argument
    without `Optional` is left out. What holds for the aggregations of windows holds for these: see `Aggregation`.
    Within `OVER` the result is asked for while more rows come, so `output` must not change the accumulator.
    """
    return _marked(aggregation, Mark(_AGGREGATE, name, state=Given(False, arguments, returns)))


def function_of(declared: Any, name: str | None = None) -> SqlFunction:
    """A function with its types, from its decorator and its hints."""
    mark = _mark(declared)
    if mark is not None and mark.kind not in (_FUNCTION, _AGGREGATE):
        raise TypeError(f"'{_name(declared)}' is a {mark.kind}, and a function for SQL is wanted here")
    given = mark.state if mark is not None else Given()
    name = name or (mark.name if mark is not None else None) or _name(declared)
    if not name.isidentifier():
        raise TypeError(f"'{name}' is no name of a function: give one, as in name='score'")
    called, result, kind = declared, declared, "batch" if given.batch else "scalar"
    if _is_aggregate(declared):
        kind, called = "aggregate", _made(declared)
        result, declared = called.output, called.update
    elif not callable(declared):
        raise TypeError(f"SQL calls a function, or a class with 'initial', 'update', 'combine' and 'output', not {declared!r}")
    _check_callable(name, declared)
    parameters = _parameters(name, declared)
    if kind == "aggregate":
        if not parameters:
            raise TypeError(f"'update' of '{name}' takes the arguments, and behind them the accumulator")
        parameters = parameters[:-1]
    arguments = _arguments(name, declared, parameters, given, batch=kind == "batch")
    returns = given.returns if given.returns is not None else _hint(result, "return")
    if returns is _MISSING:
        raise TypeError(f"'{name}' does not say what it gives: {_how('returns=float' if kind == 'batch' else '-> float')}")
    sql, nullable = _type(name, "its result", returns, result=True)
    return SqlFunction(name.lower(), kind, arguments, sql, nullable, called)


def define(name: str, parameters: list[str], body: str, place: str) -> tuple[str, Any]:
    """What a body in a script defines under a name: its kind, and what is called.

    `place` tells it from the functions of this name in other scripts of its program, and from those that it replaces.
    """
    try:
        module = _module(place, body)
    except Exception as raised:
        raise BodyError(_told(raised, f"<function {place}>")) from None
    values = {key: value for key, value in vars(module).items() if not isinstance(value, ModuleType)}
    # A name without quotes is in lower case there, however the body writes it.
    found = [value for key, value in values.items() if key == name or key.lower() == name]
    if not found:
        raise BodyError(f"it defines no '{name}': write 'def {name}({', '.join(parameters)}):'")
    if len(found) > 1:
        raise BodyError(f"it defines '{name}' {len(found)} times, in letters of different case")
    declared = found[0]
    mark = _mark(declared)
    if mark is not None and mark.kind not in (_FUNCTION, _AGGREGATE):
        raise BodyError(f"'{name}' is a {mark.kind}, and a function for SQL is wanted here")
    try:
        if _is_aggregate(declared):
            made = _made(declared)
            _check_arity(name, made.update, [*parameters, "accumulator"])
            return "aggregate", made
        _check_callable(name, declared)
    except TypeError as wrong:
        raise BodyError(str(wrong)) from None
    _check_arity(name, declared, parameters)
    return ("batch" if mark is not None and mark.state.batch else "scalar"), declared


_MISSING: Any = object()


def _marked(declared: Any, mark: Mark) -> Any:
    if declared is None:
        return lambda declared: _marked(declared, mark)
    if not callable(declared):
        raise TypeError(f"a {mark.kind} is a function or a class, not {declared!r}")
    if _mark(declared) is not None:
        raise TypeError(f"'{_name(declared)}' is decorated twice")
    setattr(declared, MARK, mark)
    return declared


def _mark(declared: Any) -> Mark | None:
    """How it is decorated itself: what a class inherits is of another."""
    if isinstance(declared, type) and MARK not in vars(declared):
        return None
    return mark_of(declared)


def _name(declared: Any) -> str:
    return str(getattr(declared, "__name__", None) or type(declared).__name__)


def _is_aggregate(declared: Any) -> bool:
    mark = _mark(declared)
    if mark is not None and mark.kind == _AGGREGATE:
        return True
    # A class of callables is made by whoever declares it.
    return isinstance(declared, type) or not callable(declared) and hasattr(declared, "update")


def _made(declared: Any) -> Any:
    made = aggregation_of(declared)
    for method in (made.initial, made.update, made.combine, made.output):
        _check_callable(_name(declared), method)
    return made


def _check_callable(name: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"'{name}' is no function, but {function!r}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"'{name}' is 'async', and SQL does not wait: write 'def'")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"'{name}' is a generator, and SQL wants one value: write 'return'")


def _parameters(name: str, function: Any) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise TypeError(f"the arguments of '{name}' are not known: wrap it into a function") from None
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise TypeError(f"'{name}' has '{parameter}', and SQL calls with so many arguments by place")
    return parameters


def _arguments(
    name: str, function: Any, parameters: list[inspect.Parameter], given: Given, *, batch: bool
) -> list[tuple[str, str, bool]]:
    if given.arguments is not None:
        hints = list(given.arguments)
        if len(hints) != len(parameters):
            raise TypeError(f"'{name}' has {len(parameters)} arguments, and 'arguments' has {len(hints)} types")
    else:
        hints = [_hint(function, parameter.name) for parameter in parameters]
    arguments = []
    for parameter, hint in zip(parameters, hints):
        if hint is _MISSING:
            how = _how("arguments=[float]" if batch else f"{parameter.name}: float")
            raise TypeError(f"'{name}' does not say what its argument '{parameter.name}' is: {how}")
        arguments.append((parameter.name, *_type(name, f"its argument '{parameter.name}'", hint, result=False)))
    return arguments


def _how(example: str) -> str:
    return f"write '{example}', or another type"


def _hint(function: Any, name: str) -> Any:
    # A function by its hints; any other callable by those of its method.
    target = function if hasattr(function, "__annotations__") or inspect.ismethod(function) else type(function).__call__
    return typing.get_type_hints(target, include_extras=True).get(name, _MISSING)


def _type(name: str, what: str, hint: Any, *, result: bool) -> tuple[str, bool]:
    """A type in SQL, and whether it may be NULL."""
    if isinstance(hint, str):
        sql = hint.strip()
        never = sql.upper().endswith("NOT NULL")
        return (sql[: -len("NOT NULL")].strip() if never else sql), result and not never
    inner, nullable = without_none(hint)
    sql_name = sql_type(inner)
    if sql_name is None:
        raise TypeError(
            f"'{name}' says that {what} is {hint!r}, which is no type of SQL: those are bool, int, float, Decimal, "
            "str, bytes, date, time, datetime, timedelta, list[...] and dict[...] of these, classes of these, "
            "Optional[...], and a type of SQL as a text"
        )
    return sql_name, nullable


def _check_arity(name: str, function: Any, parameters: list[str]) -> None:
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError as wrong:
        given = ", ".join(parameters)
        raise BodyError(f"'{name}' cannot be called with ({given}), as it is declared: {wrong}") from None
    except ValueError:
        # What is not written in Python does not say what it takes.
        return


def _told(raised: Exception, file: str) -> str:
    """An exception as Python prints it, from the first line of a file on."""
    frames = raised.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(raised), raised, frames)).rstrip()


def _module(place: str, body: str) -> ModuleType:
    """The module that a body is, executed once: objects of its classes are found again by the module's name."""
    source = textwrap.dedent(body).strip("\n") + "\n"
    title = f"__thalweg_function_{place}__"
    known = sys.modules.get(title)
    if known is not None and getattr(known, "__thalweg_source__", None) == source:
        return known
    module = ModuleType(title)
    module.__file__ = f"<function {place}>"
    setattr(module, "__thalweg_source__", source)
    # So that a traceback shows its lines.
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(True), module.__file__)
    code = compile(source, module.__file__, "exec", dont_inherit=True)
    sys.modules[title] = module
    try:
        exec(code, vars(module))
    except BaseException:
        if known is None:
            del sys.modules[title]
        else:
            sys.modules[title] = known
        raise
    return module
