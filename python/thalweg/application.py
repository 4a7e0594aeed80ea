"""Applications: pipelines from sources through computations to sinks.

An application only says what is to be computed. Nothing runs before
`thalweg.run`, so a mistake in a pipeline is told before any data is touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Optional

from .functions import Mark, mark_of
from .rows import columns_of
from .windows import Aggregation, Windows, aggregation_of


@dataclass
class Step:
    """One step, as the engine reads it: `inputs` are places in the list of all steps."""

    kind: str
    inputs: list[int]
    name: str
    function: Optional[Any] = None
    options: dict[str, str] = field(default_factory=dict)
    columns: list[tuple[str, str]] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    many: bool = False
    max_delay: float = 0.0


class Application:
    """Pipelines that are deployed together under one name."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError("an application has a name, which is a text")
        self.name = name
        self.steps: list[Step] = []
        self._states: dict[str, State] = {}

    def source(self, name: str, *, connector: str, decoder: Callable[[bytes], Any] | None = None, **options: Any) -> Stream:
        """Records from the frames of a connector, each decoded by `decoder`; without one they are `bytes`.

        `options` are those of the connector in SQL. One whose name has a dot is written with two
        underscores: `framing__header_bytes=4`.
        """
        function, mark = _function(decoder or _same, "decoder")
        given = _options(connector, options)
        return Stream(self, self._add(Step("source", [], name, function, given, many=mark.many)))

    def state(self, name: str, make: Callable[[], Any]) -> State:
        """A state that several pipelines share: `make()` makes the state of a key when it is first seen."""
        known = self._states.get(name)
        if known is not None:
            if known.make is not make:
                raise ValueError(f"the state '{name}' is declared twice, with different makers")
            return known
        state = State(self, self._add(Step("state", [], name, _callable(make, "what makes a state"))), make)
        self._states[name] = state
        return state

    def sql(self, text: str, **tables: Rows) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns: `application.sql("SELECT …", orders=rows)`.

        `text` ends with one `SELECT`, which reads the given rows as tables by their names, and what the
        statements before it declare. Times come as `datetime` in UTC, to the microsecond; NULL as `None`.
        """
        if not isinstance(text, str):
            raise TypeError(f"SQL is a text, not {text!r}")
        for name, rows in tables.items():
            if not isinstance(rows, Rows):
                raise TypeError(f"the table '{name}' is made of a stream by its method 'rows', not {rows!r}")
            if rows._application is not self:
                raise ValueError(f"the table '{name}' is of another application")
        inputs = [rows._place for rows in tables.values()]
        step = Step("sql", inputs, "sql", options={"text": text}, tables=list(tables))
        return Stream(self, self._add(step))

    def view(self, script: str, name: str) -> Stream:
        """The rows of a table or view that a script of SQL declares, each a `dict` of its columns."""
        return self.sql(f"{script.rstrip().rstrip(';')};\nSELECT * FROM {name}")

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def __repr__(self) -> str:
        return f"<Application {self.name!r} of {len(self.steps)} steps>"


@dataclass(frozen=True)
class State:
    """A named state, one for each key."""

    _application: Application
    _place: int
    make: Callable[[], Any]


class _Flow:
    def __init__(self, application: Application, place: int) -> None:
        self._application = application
        self._place = place

    def _then(self, kind: str, function: Callable[..., Any] | None, *, also: Iterable[int] = (), **rest: Any) -> int:
        name = rest.pop("name", None) or _name(function) or kind
        return self._application._add(Step(kind, [self._place, *also], name, function, **rest))

    def _join(self, other: _Flow) -> int:
        if other._application is not self._application:
            raise ValueError("streams of two applications cannot be merged")
        return self._then("merge", None, also=[other._place])


class Stream(_Flow):
    """Records on their way through a program. A stream that is used twice is a branch: both get every record."""

    def to(self, function: Callable[..., Any]) -> Stream:
        """The step that the function's decorator names: `@computation`, `@computation_multi`."""
        mark = mark_of(function)
        if mark is None:
            raise TypeError(f"{_shown(function)} has no decorator of thalweg: use 'map', 'filter' or 'flat_map'")
        if mark.kind != "computation":
            raise TypeError(f"{_shown(function)} is a {mark.kind}, which reads a keyed stream: call 'key_by' before")
        return self.flat_map(function) if mark.many else self.map(function)

    def map(self, function: Callable[[Any], Any]) -> Stream:
        """One record for each, or none where the function gives `None`."""
        return Stream(self._application, self._then("map", _function(function, "computation")[0]))

    def filter(self, function: Callable[[Any], bool]) -> Stream:
        """The records for which the function answers true."""
        return Stream(self._application, self._then("filter", _function(function, "computation")[0]))

    def flat_map(self, function: Callable[[Any], Iterable[Any] | None]) -> Stream:
        """Any number of records for each: a list, a generator, `None`. A generator is asked for the next
        record only when there is room for it."""
        return Stream(self._application, self._then("flat_map", _function(function, "computation")[0]))

    def with_event_time(self, function: Callable[[Any], Any], *, max_delay: float = 0.0) -> Stream:
        """Gives each record its event time: seconds since 1970, or a `datetime` with a time zone.

        No record is taken to come more than `max_delay` seconds behind the newest of its split.
        """
        step = self._then("with_event_time", _callable(function, "an event time"), max_delay=float(max_delay))
        return Stream(self._application, step)

    def rows(self, columns: Any) -> Rows:
        """The records as rows of SQL. `columns` are a `dict` of names and types of SQL, or a class with type
        hints: a dataclass, a `TypedDict`, a `NamedTuple`.

        Records are `dict`s, or objects with attributes. A column of a `dict` holds NULL where a record has
        `None` or nothing, unless it is `NOT NULL`; of a class only one that is `Optional` does.
        """
        name = getattr(columns, "__name__", "columns")
        return Rows(self._application, self._then("rows", None, name=name, columns=columns_of(columns)))

    def sql(self, text: str, columns: Any) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns. This stream is the table `stream`, with these
        columns: see `rows`."""
        return self._application.sql(text, stream=self.rows(columns))

    def key_by(self, function: Callable[[Any], Any]) -> KeyedStream:
        """Groups records: what follows has a state for each key. Keys are texts, bytes, numbers, flags,
        `None`, and tuples of these."""
        return KeyedStream(self._application, self._then("key_by", _function(function, "key extractor")[0]))

    def merge(self, other: Stream) -> Stream:
        """The records of both, in the order in which they come."""
        if not isinstance(other, Stream):
            raise TypeError("a stream is merged with a stream")
        return Stream(self._application, self._join(other))

    def sink(self, name: str, *, connector: str, encoder: Callable[[Any], bytes | str] | None = None, **options: Any) -> None:
        """Writes each record as one frame. `encoder` gives its bytes or text; without one the records are that."""
        function, _ = _function(encoder or _same, "encoder")
        self._then("sink", function, name=name, options=_options(connector, options))

    def sink_rows(self, name: str, columns: Any, *, connector: str, **options: Any) -> None:
        """Writes records as rows of these columns (see `rows`), in the `format` that the options name:
        `sink_rows("out", Order, connector="single_file", path="orders.json", type="sink", format="json")`."""
        self._then("sink_rows", None, name=name, columns=columns_of(columns), options=_options(connector, options))

    def discard(self) -> None:
        """Ends the pipeline in the state that it has gone through."""
        self._then("discard", None)


class Rows(_Flow):
    """A stream as a table of SQL."""

    def sql(self, text: str) -> Stream:
        """The rows that SQL answers, each a `dict` of its columns. These rows are the table `stream`."""
        return self._application.sql(text, stream=self)


class KeyedStream(_Flow):
    """Records by key."""

    def to(self, function: Callable[..., Any]) -> Stream:
        """The state computation that its decorator describes."""
        mark = mark_of(function)
        if mark is None or mark.kind != "state computation":
            raise TypeError(f"{_shown(function)} is no state computation: use 'stateful', or '@state_computation'")
        return self.stateful(mark.name or _name(function) or "state", function, state=mark.state)

    def stateful(self, name: str, function: Callable[[Any, Any], Any], *, state: Any, many: bool = False) -> Stream:
        """Calls the function with each record and the state of its key, which it may change.

        What it gives is the record that goes on; `None` is nothing. With `many`, or by
        `@state_computation_multi`, it gives any number of records. `state` makes the state of a key that
        is seen for the first time: a class, or any function without arguments; or it is a
        shared state of the application.
        """
        function, mark = _function(function, "state computation")
        shared = state if isinstance(state, State) else self._application.state(name, state)
        if shared._application is not self._application:
            raise ValueError("the state is of another application")
        also, many = [shared._place], many or mark.many
        return Stream(self._application, self._then("stateful", function, also=also, name=name, many=many))

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

    def aggregate(self, name: str, aggregation: Aggregation[Any] | type[Aggregation[Any]]) -> Stream:
        """One record for each key and window, when the window closes: what the aggregation's `output` gives.

        Records that come later than that are counted and left out.
        """
        function = aggregation_of(aggregation)
        step = self._keyed._then("aggregate", function, name=name, options=self._windows.options)
        return Stream(self._keyed._application, step)


def _same(record: Any) -> Any:
    return record


def _callable(function: Any, what: str) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(f"{what} is a function, not {function!r}")
    checked: Callable[..., Any] = function
    return checked


def _function(function: Any, kind: str) -> tuple[Callable[..., Any], Mark]:
    """A function, if it is not marked as something else."""
    _callable(function, f"a {kind}")
    mark = mark_of(function)
    if mark is None:
        return function, Mark(kind)
    if mark.kind != kind:
        raise TypeError(f"{_shown(function)} is a {mark.kind}, and a {kind} is wanted here")
    return function, mark


def _name(function: Any) -> str | None:
    mark = mark_of(function)
    if mark is not None and mark.name:
        return mark.name
    return getattr(function, "__name__", None)


def _shown(function: Any) -> str:
    return f"'{_name(function) or function!r}'"


def _options(connector: str, options: dict[str, Any]) -> dict[str, str]:
    given = {"connector": connector}
    for name, value in options.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            text = str(value)
        else:
            raise TypeError(f"the option '{name}' is a text, a number or a flag, not {value!r}")
        given[name.replace("__", ".")] = text
    return given
