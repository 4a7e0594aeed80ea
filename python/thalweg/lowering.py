"""From the steps of a program to those of the engine, which knows no policies.

A step with a policy calls its function guarded. With dead letters it gives a `Failed` for a record that
failed, and behind it the two divide:

                                           ┌─► the records, for whoever reads the step
    records ─► guarded ─► records, Failed ─┤
                                           └─► the letters ─► their stream, merged of all such steps

They divide later where the one reader gives letters itself, so that each record is written down once; and where
event times are still to come, since the engine gives them only to what comes straight from a source.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from .asynchronous import AsyncCalls
from .policies import Failed, went_well

if TYPE_CHECKING:
    from .application import Step

LETTERS = "dead letters"
"""The kind of a step that only declares a stream of dead letters."""

# Steps through which a `Failed` can go on: each has one input, and its records stay in the chain.
_CHAINED = ("map", "filter", "flat_map", "async_map", "with_event_time")

# Before the event times of any program, in seconds. A letter that comes first of all has it, and moves no watermark.
_EARLY = -float(2**32)


def lowered(declared: list[Step]) -> list[Step]:
    """The steps of the engine, each behind those that it reads."""
    return declared if all(step.guard is None and step.kind != LETTERS for step in declared) else _Lowering(declared).all()


class _Lowering:
    def __init__(self, declared: list[Step]) -> None:
        self._declared = declared
        self._readers: list[list[int]] = [[] for _ in declared]
        for at, step in enumerate(declared):
            for place in step.inputs:
                self._readers[place].append(at)
        # Whose letters come out of each step among its records, by their streams; and which of those steps leave
        # them there.
        self._mixed: list[list[int]] = []
        self._undivided: set[int] = set()
        for at, step in enumerate(declared):
            mixed = [letters for place in step.inputs if place in self._undivided for letters in self._mixed[place]]
            if step.letters is not None and step.letters not in mixed:
                mixed.append(step.letters)
            self._mixed.append(mixed)
            if mixed and self._divides_later(at):
                self._undivided.add(at)
        self._ordered: list[Step] = []
        # Where the engine's step stands that gives what a step gives.
        self._places: dict[int, int] = {}
        # The engine's steps that give the letters of each stream.
        self._letters: dict[int, list[int]] = {at: [] for at, step in enumerate(declared) if step.kind == LETTERS}

    def all(self) -> list[Step]:
        waiting = list(range(len(self._declared)))
        while waiting:
            ready = [at for at in waiting if self._is_ready(at)]
            assert ready, "no letters go to a step before them"
            for at in ready:
                self._places[at] = self._merged(at) if at in self._letters else self._lower(at)
            waiting = [at for at in waiting if at not in self._places]
        return self._ordered

    def _divides_later(self, at: int) -> bool:
        readers = self._readers[at]
        if len(readers) != 1 or self._declared[at].kind in ("key_by", "sink"):
            return False
        reader = self._declared[readers[0]]
        return reader.kind in _CHAINED and (reader.letters is not None or self._times_follow(readers[0]))

    def _times_follow(self, at: int) -> bool:
        while self._declared[at].kind in _CHAINED:
            if self._declared[at].kind == "with_event_time":
                return True
            if len(self._readers[at]) != 1:
                return False
            (at,) = self._readers[at]
        return False

    def _is_ready(self, at: int) -> bool:
        needed = self._declared[at].inputs
        if at in self._letters:
            if not self._readers[at]:
                name = self._declared[at].name
                raise ValueError(f"nobody reads '{name}': end them with 'sink', or with 'discard'")
            needed = [giver for giver, mixed in enumerate(self._mixed) if at in mixed]
        return self._places.keys() >= set(needed)

    def _merged(self, at: int) -> int:
        """All letters of a stream."""
        step, given = self._declared[at], self._letters[at]
        if not given:
            raise ValueError(f"no step gives '{step.name}': give what 'dead_letters' gave to a step as its 'on_error'")
        merged = given[0]
        for place in given[1:]:
            merged = self._add(type(step)("merge", [merged, place], step.name))
        return merged

    def _lower(self, at: int) -> int:
        step = self._declared[at]
        carried = any(place in self._undivided for place in step.inputs)
        steps = _guarded(step) if step.guard else [step]
        divide_at = 0 if step.kind in ("key_by", "sink") else len(steps) - 1
        place, inputs = -1, [self._places[place] for place in step.inputs]
        for number, part in enumerate(steps):
            part = replace(part, inputs=inputs, guard=None, letters=None)
            if carried or (number > 0 and number <= divide_at):
                part.function = _PASSING[part.kind](_called(part))
            place = self._add(part)
            if number == divide_at and self._mixed[at] and at not in self._undivided:
                place, carried = self._divided(step, place, self._mixed[at]), False
            inputs = [place, *inputs[1:]]
        return place

    def _divided(self, step: Step, place: int, letters: list[int]) -> int:
        """The records without letters, whose streams get them."""
        for stream in letters:
            name = self._declared[stream].name
            self._letters[stream].append(self._add(type(step)("map", [place], name, _letters_of(stream))))
        return self._add(type(step)("filter", [place], step.name, went_well))

    def _add(self, step: Step) -> int:
        self._ordered.append(step)
        return len(self._ordered) - 1


def _guarded(step: Step) -> list[Step]:
    """A step whose function is guarded. Where the engine itself calls that of the step, there is a step before it."""
    assert step.guard is not None
    guard, function = step.guard, _called(step)
    before = type(step)("flat_map", step.inputs, step.name)
    if step.kind == "key_by":
        return [replace(before, function=guard.keyed(function)), step]
    if step.kind == "with_event_time":
        return [replace(before, function=guard.timed(function)), step]
    if step.kind == "sink":
        return [replace(before, kind="map", function=guard.encoded(function)), replace(step, function=_same)]
    if step.kind == "filter":
        return [replace(before, function=guard.those(function))]
    if isinstance(function, AsyncCalls):
        return [replace(step, function=function.otherwise(guard.failed))]
    many = step.many or step.kind == "flat_map"
    return [replace(step, function=(guard.many if many else guard.one)(function))]


def _called(step: Step) -> Callable[..., Any]:
    assert callable(step.function), "only steps with a function have letters"
    called: Callable[..., Any] = step.function
    return called


def _same(record: Any) -> Any:
    return record


def _letters_of(stream: int) -> Callable[[Any], Any]:
    def letter(record: Any) -> Any:
        return record.letter if type(record) is Failed and record.stream == stream else None

    return letter


def _passed_as(result: Callable[[Failed], Any]) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def passing(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda record: result(record) if type(record) is Failed else function(record)

    return passing


def _timed(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Letters have the time of the record before them."""
    last: Any = _EARLY

    def timed(record: Any) -> Any:
        nonlocal last
        if type(record) is not Failed:
            last = function(record)
        return last

    return timed


# What becomes of a letter among the records of a step, by the step's kind.
_PASSING: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "map": _passed_as(lambda failed: failed),
    "filter": _passed_as(lambda failed: True),
    "flat_map": _passed_as(lambda failed: (failed,)),
    "async_map": lambda calls: calls.but_for(Failed) if isinstance(calls, AsyncCalls) else calls,
    "with_event_time": _timed,
}
