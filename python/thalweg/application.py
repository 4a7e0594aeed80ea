"""Applications: pipelines from sources through computations to sinks.

An application only says what is to be computed. Nothing runs before
`thalweg.run`, so a mistake in a pipeline is told before any data is touched.
"""

from __future__ import annotations

import os
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Literal, Mapping, Optional, TypeVar, Union

from .asynchronous import AsyncCalls
from .functions import Mark, mark_of
from .policies import Guard
from .rows import columns_of
from .shapes import shape_of
from .sql_functions import SqlFunction, function_of
from .windows import Aggregation, Seconds, Windows, aggregation_of, seconds_of

F = TypeVar("F")

# Classes whose objects no function can change.
_UNCHANGING = {bool, int, float, complex, str, bytes, tuple, frozenset, type(None)}


@dataclass
class Step:
    """One step, as the engine reads it: `inputs` and `letters`, which is a stream of dead letters, are places in the
    list of all steps."""

    kind: str
    inputs: list[int]
    name: str
    function: Optional[Any] = None
    options: dict[str, str] = field(default_factory=dict)
    columns: list[tuple[str, str]] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    many: bool = False
    max_delay: float = 0.0
    guard: Optional[Guard] = None
    letters: Optional[int] = None
    shape: Optional[Any] = None
    column: Optional[str] = None


class Application:
    """Pipelines that are deployed together under one name."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError("an application has a name, which is a text")
        self.name = name
        self.steps: list[Step] = []
        self._states: dict[str, State] = {}
        self.functions: list[SqlFunction] = []

    def source(
        self,
        name: str,
        *,
        connector: str,
        decoder: Callable[[bytes], Any] | None = None,
        on_error: OnError | str | None = None,
        **options: Any,
    ) -> Stream:
        """Records from the frames of a connector, each decoded by `decoder`; without one they are `bytes`.

        `options` are those of the connector in SQL. One whose name has a dot is written with two
        underscores: `framing__header_bytes=4`.
        """
        function, mark = _function(decoder or _same, "decoder")
        given = _options(connector, options)
        step = Step("source", [], name, function, given, many=mark.many)
        return Stream(self, self._add_with(step, on_error or mark.on_error))

    def table(
        self,
        name: str,
        columns: Any,
        *,
        connector: str,
        event_time: str | None = None,
        max_delay: Seconds = 0.0,
        **options: Any,
    ) -> Rows:
        """Rows with these columns (see `rows`) from a connector, in the `format` that the options name. They stay
        columns: no object of Python is made of them.

        `event_time` names the column of event times, behind whose newest no row comes by more than `max_delay`
        seconds; without it that is when a row was read.
        """
        given, declared = _options(connector, options), columns_of(columns)
        step = Step("table", [], name, None, given, declared, max_delay=seconds_of("max_delay", max_delay, zero=True), column=event_time)
        return Rows(self, self._add(step))

    def dead_letters(self, name: str = "dead letters") -> DeadLetters:
        """A stream of `thalweg.DeadLetter`: the records that failed in the steps to which it is given as
        `on_error`."""
        return DeadLetters(self, self._add(Step("dead letters", [], name)))

    def state(self, name: str, make: Callable[[], Any]) -> State:
        """A state that several pipelines share: `make()` makes the state of a key when it is first seen."""
        known = self._states.get(name)
        if known is not None:
            if known.make is not make:
                raise ValueError(f"the state '{name}' is declared twice, with different makers")
            return known
        if isinstance(make, type) and make in _UNCHANGING:
            raise TypeError(f"a state is changed where it is, and no '{make.__name__}' can be: use a dataclass, a 'dict' or a 'list'")
        step = Step("state", [], name, _plain(make, "what makes a state"), shape=shape_of(make))
        state = State(self, self._add(step), make)
        self._states[name] = state
        return state

    def _own_state(self, name: str, make: Callable[[], Any]) -> State:
        """The state of one step."""
        if name in self._states:
            raise ValueError(
                f"there is a state '{name}' already: give this one another name, or let both steps share what "
                f"'state({name!r}, …)' of the application makes"
            )
        return self.state(name, make)

    def function(self, function: F, *, name: str | None = None) -> F:
        """Lets all SQL of the application call a function under its name, and gives it back: `@app.function`.

        It is what `thalweg.udf` or `thalweg.udaf` decorates, or a function or class with such hints.
        """
        declared = function_of(function, name)
        if any(known.name == declared.name for known in self.functions):
            raise ValueError(f"there is a function '{declared.name}' already")
        self.functions.append(declared)
        return function

    def sql(self, text: str, name: str | None = None, /, **tables: Rows) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns: `application.sql("SELECT …", orders=rows)`.

        `text` ends with one `SELECT`, which reads the given rows as tables by their names, and what the
        statements before it declare. Times come as `datetime` in UTC, to the microsecond; NULL as `None`.

        By its `name` the query's state is found again where the program has changed; without one it is known by how
        many stand before it.
        """
        return self.sql_rows(text, name, **tables).records()

    def sql_rows(self, text: str, name: str | None = None, /, **tables: Rows) -> Rows:
        """The rows that SQL answers, as rows: for functions of batches, for other SQL, for sinks."""
        if not isinstance(text, str):
            raise TypeError(f"SQL is a text, not {text!r}")
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"the name of a query is a text, not {name!r}")
        for table, rows in tables.items():
            if not isinstance(rows, Rows):
                raise TypeError(f"the table '{table}' is made of a stream by its method 'rows', not {rows!r}")
            if rows._application is not self:
                raise ValueError(f"the table '{table}' is of another application")
        inputs = [rows._place for rows in tables.values()]
        options = {"text": text} if name is None else {"text": text, "name": name}
        step = Step("sql", inputs, name or "sql", options=options, tables=list(tables))
        return Rows(self, self._add(step))

    def view(self, script: str, view: str, name: str | None = None, /) -> Stream:
        """The rows of a table or view that a script of SQL declares, each a `dict` of its columns."""
        return self.sql(f"{script.rstrip().rstrip(';')};\nSELECT * FROM {view}", name)

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def _add_with(self, step: Step, on_error: OnError | str | None) -> int:
        """Adds a step whose function may raise, with what then becomes of the record."""
        if on_error is None or on_error == "fail":
            return self._add(step)
        step.letters = self._letters(step, on_error)
        step.guard = Guard(f"{step.kind} '{step.name}'", step.letters is not None)
        return self._add(step)

    def _letters(self, step: Step, on_error: OnError | str) -> int | None:
        """The step that declares where the dead letters of another go, if it does not skip."""
        if on_error == "skip":
            return None
        if not isinstance(on_error, DeadLetters):
            raise TypeError(f"'on_error' is 'fail', 'skip' or what 'dead_letters' gives, not {on_error!r}")
        if on_error._application is not self:
            raise ValueError("the dead letters are of another application")
        letters, before = on_error._place, list(step.inputs)
        for place in before:
            if place == letters:
                name = self.steps[letters].name
                raise ValueError(f"{step.kind} '{step.name}' reads '{name}', so its own cannot go there: that is a loop")
            also = [giver for giver, other in enumerate(self.steps) if other.letters == place]
            before.extend(place for place in [*self.steps[place].inputs, *also] if place not in before)
        return letters

    def _left_out(self) -> dict[str, int]:
        """How many records each step has left out that skips what fails, since the last `_begin`."""
        counts: dict[str, int] = {}
        for guard in self._guards():
            counts[guard.step] = counts.get(guard.step, 0) + guard.left_out
        return {step: count for step, count in counts.items() if count > 0}

    def _begin(self) -> None:
        for guard in self._guards():
            guard.left_out = 0

    def _guards(self) -> Iterable[Guard]:
        return (step.guard for step in self.steps if step.guard is not None)

    def __repr__(self) -> str:
        return f"<Application {self.name!r} of {len(self.steps)} steps>"


@dataclass(frozen=True)
class State:
    """A named state, one for each key."""

    _application: Application
    _place: int
    make: Callable[[], Any]


# What a function is for that makes no step of a stream.
_PLACES = {
    "state computation": "it reads a keyed stream, so call 'key_by' before",
    "key extractor": "give it to 'key_by'",
    "decoder": "give it to a source, as 'decoder'",
    "encoder": "give it to a sink, as 'encoder'",
}


class _Flow:
    # What is missed here, and what to do.
    _elsewhere: Mapping[str, str] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = f": {self._elsewhere[name]}" if name in self._elsewhere else ""
            raise AttributeError(f"'{type(self).__name__}' has no '{name}'{hint}")

    def __init__(self, application: Application, place: int) -> None:
        self._application = application
        self._place = place

    def _then(
        self,
        kind: str,
        function: Callable[..., Any] | None,
        *,
        also: Iterable[int] = (),
        on_error: OnError | str | None = None,
        **rest: Any,
    ) -> int:
        name, mark = rest.pop("name", None) or _name(function) or kind, mark_of(function)
        step = Step(kind, [self._place, *also], name, function, **rest)
        return self._application._add_with(step, on_error or (mark.on_error if mark else None))

    def _join(self, other: _Flow) -> int:
        if other._application is not self._application:
            raise ValueError("streams of two applications cannot be merged")
        return self._then("merge", None, also=[other._place])


class Stream(_Flow):
    """Records on their way through a program. A stream that is used twice is a branch: both get every record."""

    _elsewhere = {name: "call 'key_by' before" for name in ("stateful", "window")} | {
        name: "call 'rows' before" for name in ("sql_rows", "records")
    }

    def to(self, function: Callable[..., Any]) -> Stream:
        """The step that the function's decorator names: `@computation`, `@computation_multi`."""
        mark = mark_of(function)
        if mark is None:
            raise TypeError(f"{_shown(function)} has no decorator of thalweg: use 'map', 'filter' or 'flat_map'")
        if mark.kind != "computation":
            raise TypeError(f"{_shown(function)} is {_what(mark)}: {_PLACES[mark.kind]}")
        if mark.batch:
            raise TypeError(f"{_shown(function)} is a computation of batches, which reads rows: call 'rows' before")
        if inspect.iscoroutinefunction(function) and not mark.many:
            return self.async_map(function)
        return self.flat_map(function) if mark.many else self.map(function)

    def map(self, function: Callable[[Any], Any], *, on_error: OnError | None = None) -> Stream:
        """One record for each, or none where the function gives `None`."""
        function, mark = _function(function, "computation")
        if mark.many:
            raise TypeError(f"{_shown(function)} gives any number of records for each, which 'flat_map' takes")
        return Stream(self._application, self._then("map", function, on_error=on_error))

    def filter(self, function: Callable[[Any], bool], *, on_error: OnError | None = None) -> Stream:
        """The records for which the function answers true."""
        function, _ = _function(function, "computation")
        return Stream(self._application, self._then("filter", function, on_error=on_error))

    def flat_map(self, function: Callable[[Any], Iterable[Any] | None], *, on_error: OnError | None = None) -> Stream:
        """Any number of records for each: a list, a generator, `None`. A generator is asked for the next
        record only when there is room for it; what it gave before it raised stays given."""
        function, mark = _function(function, "computation")
        if mark_of(function) is not None and not mark.many:
            raise TypeError(f"{_shown(function)} gives one record for each, which 'map' takes")
        return Stream(self._application, self._then("flat_map", function, on_error=on_error))

    def async_map(
        self,
        function: Callable[[Any], Awaitable[Any]],
        *,
        in_flight: int = 100,
        timeout: Seconds = 60.0,
        on_error: OnError | None = None,
    ) -> Stream:
        """Like `map`, by an `async def` function. Up to `in_flight` calls are on their way at once, and what they
        give goes on in the order of the records. A call that takes longer than `timeout`, seconds or a `timedelta`, has failed.

        Calls are of the records that have come together; none waits for records that have yet to come. A
        checkpoint waits for the calls before it.
        """
        name, mark = _name(function) or "async_map", mark_of(function)
        if mark is not None and (mark.kind != "computation" or mark.many or mark.batch):
            raise TypeError(f"{_shown(function)} is {_what(mark)}, and a computation of one record is wanted here")
        error = on_error or (mark.on_error if mark else None)
        calls = _async_calls(function, in_flight, timeout, error)
        options = {"in_flight": str(in_flight)}
        return Stream(self._application, self._then("async_map", calls, name=name, options=options, on_error=error))

    def with_event_time(
        self, function: Callable[[Any], Any], *, max_delay: Seconds = 0.0, on_error: OnError | None = None
    ) -> Stream:
        """Gives each record its event time: seconds since 1970, or a `datetime` with a time zone.

        No record is taken to come more than `max_delay`, seconds or a `timedelta`, behind the newest of its split.
        """
        function, delay = _plain(function, "an event time"), seconds_of("max_delay", max_delay, zero=True)
        return Stream(self._application, self._then("with_event_time", function, max_delay=delay, on_error=on_error))

    def rows(self, columns: Any, *, on_error: OnError | None = None) -> Rows:
        """The records as rows of SQL. `columns` are a `dict` of names and types of SQL, or a class with type
        hints: a dataclass, a `TypedDict`, a `NamedTuple`.

        Records are `dict`s, or objects with attributes. A column of a `dict` holds NULL where a record has
        `None` or nothing, unless it is `NOT NULL`; of a class only one that is `Optional` does. A record that
        does not fit has failed.
        """
        name = getattr(columns, "__name__", "columns")
        step = self._then("rows", None, name=name, columns=columns_of(columns), on_error=on_error)
        return Rows(self._application, step)

    def map_batches(
        self,
        function: Callable[[Any], Any],
        columns: Any,
        output: Any = None,
        *,
        origin: str | None = None,
        on_error: OnError | None = None,
    ) -> Rows:
        """The records as rows of `columns`, and what a function of whole batches makes of them: see
        `Rows.map_batches`."""
        return self.rows(columns, on_error=on_error).map_batches(function, output, origin=origin, on_error=on_error)

    def sql(self, text: str, columns: Any, name: str | None = None, *, on_error: OnError | None = None) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns. This stream is the table `stream`, with these
        columns: see `rows`. By its `name` the query's state is found again where the program has changed."""
        return self.rows(columns, on_error=on_error).sql(text, name)

    def key_by(self, function: Callable[[Any], Any], *, on_error: OnError | None = None) -> KeyedStream:
        """Groups records: what follows has a state for each key. Keys are texts, bytes, numbers, flags,
        `None`, and tuples of these."""
        function, _ = _function(function, "key extractor")
        return KeyedStream(self._application, self._then("key_by", function, on_error=on_error))

    def merge(self, other: Stream) -> Stream:
        """The records of both, in the order in which they come."""
        if not isinstance(other, Stream):
            raise TypeError("a stream is merged with a stream")
        return Stream(self._application, self._join(other))

    def sink(
        self,
        name: str,
        *,
        connector: str,
        encoder: Callable[[Any], bytes | str] | None = None,
        on_error: OnError | str | None = None,
        **options: Any,
    ) -> None:
        """Writes each record as one frame. `encoder` gives its bytes or text; without one the records are that."""
        function, _ = _function(encoder or _framed, "encoder")
        self._then("sink", function, name=name, options=_options(connector, options), on_error=on_error)

    def sink_rows(
        self, name: str, columns: Any, *, connector: str, on_error: OnError | None = None, **options: Any
    ) -> None:
        """Writes records as rows of these columns (see `rows`), in the `format` that the options name:
        `sink_rows("out", Order, connector="single_file", path="orders.json", type="sink", format="json")`."""
        declared, given = columns_of(columns), _options(connector, options)
        self._then("sink_rows", None, name=name, columns=declared, options=given, on_error=on_error)

    def discard(self) -> None:
        """Ends the pipeline in the state that it has gone through."""
        self._then("discard", None)


class DeadLetters(Stream):
    """The records that failed in the steps to which this is given as `on_error`."""


OnError = Union[Literal["fail", "skip"], DeadLetters]
"""What becomes of a record whose function raises: it fails the job, is left out, or becomes a dead letter."""


class Rows(_Flow):
    """A stream as a table: rows in columns, which no step takes apart that works on batches."""

    _elsewhere = {
        name: "call 'records' before"
        for name in ("map", "filter", "flat_map", "async_map", "with_event_time", "key_by", "sink", "discard")
    }

    def sql(self, text: str, name: str | None = None) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns. These rows are the table `stream`."""
        return self.sql_rows(text, name).records()

    def sql_rows(self, text: str, name: str | None = None) -> Rows:
        """The same, as rows."""
        return self._application.sql_rows(text, name, stream=self)

    def to(self, function: Callable[..., Any]) -> Rows:
        """The step of a function that is decorated with `@computation(batch=True, columns=…)`."""
        if mark_of(function) is None:
            raise TypeError(f"{_shown(function)} has no decorator of thalweg: use 'map_batches'")
        return self.map_batches(function)

    def map_batches(
        self,
        function: Callable[[Any], Any],
        columns: Any = None,
        *,
        origin: str | None = None,
        on_error: OnError | None = None,
    ) -> Rows:
        """Rows with these `columns`, made by a function of whole batches.

        The function is called once for each batch, however small, with a `pyarrow.RecordBatch`; where there is
        no pyarrow, with an object that has the methods of the Arrow PyCapsule interface. It gives anything
        that has columns: a batch, a table, a frame of pandas or polars, a `dict` of arrays. Columns that are
        not among `columns` are left out. Row by row the result takes over the event times of the input, so
        it has as many rows; unless `origin` names a column of the result that says from which row of the
        batch, from 0, each row comes.

        A batch with which it raises has failed as a whole: `on_error` leaves out all its rows, or makes one dead
        letter of it.
        """
        mark = mark_of(function)
        if mark is not None and not mark.batch:
            raise TypeError(f"{_shown(function)} is no computation of batches: write '@computation(batch=True)'")
        declared = mark.columns if columns is None and mark is not None else columns
        if declared is None:
            raise TypeError(f"the columns that {_shown(function)} gives are not declared")
        _no_coroutine(_callable(function, "what maps batches"))
        given = columns_of(declared)
        step = self._then("map_batches", function, columns=given, column=origin, on_error=on_error)
        return Rows(self._application, step)

    def records(self) -> Stream:
        """Each row as a `dict` of its columns."""
        return Stream(self._application, self._then("records", None))

    def sink_rows(self, name: str, *, connector: str, **options: Any) -> None:
        """Writes the rows, in the `format` that the options name."""
        self._then("sink_of_rows", None, name=name, options=_options(connector, options))


class KeyedStream(_Flow):
    """Records by key."""

    _elsewhere = {
        name: "behind 'key_by' comes 'stateful', or 'window' and 'aggregate'; call it before 'key_by', or behind those"
        for name in ("map", "filter", "flat_map", "async_map", "with_event_time", "rows", "sql", "sink", "discard", "key_by")
    }

    def to(self, function: Callable[..., Any]) -> Stream:
        """The state computation that its decorator describes."""
        mark = mark_of(function)
        if mark is None or mark.kind != "state computation":
            raise TypeError(f"{_shown(function)} is no state computation: use 'stateful', or '@state_computation'")
        return self.stateful(mark.name or _name(function) or "state", function, state=mark.state)

    def stateful(
        self,
        name: str,
        function: Callable[[Any, Any], Any],
        *,
        state: Any,
        many: bool = False,
        on_error: OnError | None = None,
    ) -> Stream:
        """Calls the function with each record and the state of its key, which it may change.

        What it gives is the record that goes on; `None` is nothing. With `many`, or by
        `@state_computation_multi`, it gives any number of records. `state` makes the state of a key that
        is seen for the first time: a class, or any function without arguments; or it is a
        shared state of the application.
        """
        function, mark = _function(function, "state computation")
        shared = state if isinstance(state, State) else self._application._own_state(name, state)
        if shared._application is not self._application:
            raise ValueError("the state is of another application")
        also, many = [shared._place], many or mark.many
        step = self._then("stateful", function, also=also, name=name, many=many, on_error=on_error)
        return Stream(self._application, step)

    def window(self, windows: Windows) -> WindowedStream:
        """Groups the records of each key into windows of event time: `thalweg.tumble`, `hop`, `session`,
        or `count`."""
        if not isinstance(windows, Windows):
            raise TypeError(f"windows are 'tumble', 'hop', 'session' or 'count', not {windows!r}")
        return WindowedStream(self, windows)

    def merge(self, other: KeyedStream) -> KeyedStream:
        """The records of both, under their keys."""
        if not isinstance(other, KeyedStream):
            raise TypeError("a keyed stream is merged with a keyed stream")
        return KeyedStream(self._application, self._join(other))


class WindowedStream:
    """Records by key and window."""

    def __init__(self, keyed: KeyedStream, windows: Windows) -> None:
        self._keyed = keyed
        self._windows = windows

    def aggregate(
        self,
        name: str,
        aggregation: Aggregation[Any] | type[Aggregation[Any]],
        *,
        on_error: OnError | None = None,
    ) -> Stream:
        """One record for each key and window, when the window closes: what the aggregation's `output` gives.

        Records that come later than that are counted and left out. Dead letters of records that could not be
        taken in come when their window closes.
        """
        function, options = aggregation_of(aggregation), self._windows.options
        step = self._keyed._then("aggregate", function, name=name, options=options, on_error=on_error)
        return Stream(self._keyed._application, step)


def _framed(record: Any) -> Any:
    """A record that needs no encoder."""
    if isinstance(record, (bytes, str)):
        return record
    raise TypeError(
        f"the sink has no encoder, and the record is of type '{type(record).__name__}': give it one, 'encode_json' say"
    )


def _same(record: Any) -> Any:
    return record


def _callable(function: Any, what: str) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(f"{what} is a function, not {function!r}")
    checked: Callable[..., Any] = function
    return checked


def _async_calls(function: Any, in_flight: Any, timeout: Any, on_error: Any) -> AsyncCalls:
    _callable(function, "what 'async_map' calls")
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"'in_flight' is a number of calls that is at least 1, not {in_flight!r}")
    return AsyncCalls(function, in_flight, seconds_of("timeout", timeout), goes_on=on_error not in (None, "fail"))


def _function(function: Any, kind: str) -> tuple[Callable[..., Any], Mark]:
    """A function, if it is not marked as something else."""
    _no_coroutine(_callable(function, f"a {kind}"))
    mark = mark_of(function)
    if mark is not None and mark.batch:
        raise TypeError(f"{_shown(function)} is a computation of batches: make rows of the records, and use 'map_batches'")
    if mark is None:
        return function, Mark(kind)
    if mark.kind != kind:
        raise TypeError(f"{_shown(function)} is {_what(mark)}, and a {kind} is wanted here")
    return function, mark


def _plain(function: Any, what: str) -> Callable[..., Any]:
    """A function that no decorator has marked for another place."""
    _no_coroutine(_callable(function, what))
    mark = mark_of(function)
    if mark is not None:
        raise TypeError(f"{_shown(function)} is {_what(mark)}, and {what} is a function without a decorator")
    checked: Callable[..., Any] = function
    return checked


def _no_coroutine(function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{_shown(function)} is an 'async def' function, which 'async_map' calls")


def _what(mark: Mark) -> str:
    article = "an" if mark.kind == "encoder" else "a"
    return f"{article} {mark.kind}{' of many' if mark.many else ''}{' of batches' if mark.batch else ''}"


def _name(function: Any) -> str | None:
    mark = mark_of(function)
    if mark is not None and mark.name:
        return mark.name
    return getattr(function, "__name__", None)


def _shown(function: Any) -> str:
    return f"'{_name(function) or function}'"


def _options(connector: str, options: dict[str, Any]) -> dict[str, str]:
    given = {"connector": connector}
    for name, value in options.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            text = str(value)
        elif isinstance(value, os.PathLike):
            text = os.fsdecode(value)
        else:
            raise TypeError(f"the option '{name}' is a text, a number, a flag or a path, not {value!r}")
        given[name.replace("__", ".")] = text
    return given
