"""Programs of random shape give what plain Python gives, in the order of each key, at any parallelism.

A program is drawn from a seed: up to four steps deep, of `to`, merges, and
`key_by` with a state. Each runs in this process over a file, at one, two and
three subtasks. `THALWEG_SEED` draws others.

What a record has gone through is written into it. A step with a state adds the
number of the record within its key. A merge leaves the order of two branches free, so
the model gives what is the same in every order: the records without these numbers. Those
have to be complete for each key, and follow the rows of the input for each way, which
leads through subtasks: those of the keys of earlier states.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Union

import pytest

import thalweg

DEPTH_MAX = 4
PROGRAMS = 40
ROWS = 1_500
SEED = int(os.environ.get("THALWEG_SEED", "1"))


@dataclass(frozen=True)
class Record:
    """What one row has become: its number, its value, the way that it went, and what its states said."""

    row: int
    value: int
    way: tuple[str, ...] = ()
    seen: tuple[tuple[int, str, int], ...] = ()

    def by(self, step: str, value: int | None = None) -> Record:
        return Record(self.row, self.value if value is None else value, (*self.way, step), self.seen)


@dataclass
class Source:
    pass


@dataclass
class To:
    input: Shape
    function: Callable[[Record], Any]
    many: bool


@dataclass
class Merge:
    inputs: list[Shape]


@dataclass
class Stateful:
    """Keyed streams, merged if there are two, and a state."""

    inputs: list[Shape]
    keys: list[Callable[[Record], Any]]
    number: int


Shape = Union[Source, To, Merge, Stateful]

KEYS: list[Callable[[Record], Any]] = [
    lambda record: record.value % 7,
    lambda record: f"row {record.row % 3}",
    lambda record: (record.row % 2 == 0, record.value % 3),
    lambda record: None,
]


def plus(name: str, by: int) -> Callable[[Record], Record]:
    return lambda record: record.by(name, record.value + by)


def without(name: str, remainder: int) -> Callable[[Record], Record | None]:
    return lambda record: None if record.value % 5 == remainder else record.by(name)


def copies(name: str) -> Callable[[Record], Iterator[Record]]:
    return lambda record: (record.by(f"{name}/{copy}", record.value + copy) for copy in range(record.value % 3))


def draw(dice: random.Random, depth: int, numbers: Iterator[int]) -> Shape:
    """A program that is so deep."""
    if depth == 0:
        return Source()
    deep, number = draw(dice, depth - 1, numbers), next(numbers)
    other = [draw(dice, dice.randrange(depth), numbers)] if dice.random() < 0.5 else []
    match dice.randrange(6):
        case 0:
            return To(deep, plus(f"plus {number}", dice.randrange(9)), many=False)
        case 1:
            return To(deep, without(f"without {number}", dice.randrange(5)), many=False)
        case 2:
            return To(deep, copies(f"copies {number}"), many=True)
        case 3 | 4:
            return Stateful([deep, *other], dice.sample(KEYS, 1 + len(other)), number)
        case _:
            return Merge([deep, *(other or [Source()])])


def branches(inputs: list[Shape]) -> Iterator[tuple[str, Shape]]:
    """The inputs of a step, each with what is written into its records."""
    return ((f"branch {at}", shape) for at, shape in enumerate(inputs))


def stream(shape: Shape, source: thalweg.Stream) -> thalweg.Stream:
    """The shape as steps of the engine."""
    match shape:
        case Source():
            return source
        case To(input, function, many):
            mark = thalweg.computation_multi if many else thalweg.computation
            # A function is marked once, and a shape is built for each parallelism.
            return stream(input, source).to(mark(lambda record: function(record)))
        case Merge(inputs):
            one, other = (stream(shape, source).map(plus(name, 0)) for name, shape in branches(inputs))
            return one.merge(other)
        case Stateful(inputs, keys, number):
            keyed = [
                stream(shape, source).map(plus(name, 0)).key_by(key)
                for (name, shape), key in zip(branches(inputs), keys)
            ]
            merged = keyed[0] if len(keyed) == 1 else keyed[0].merge(keyed[1])
            name_of = dict((f"branch {at}", key) for at, key in enumerate(keys))
            return merged.stateful(f"count {number}", counting(number, name_of), state=list)


def counting(number: int, keys: dict[str, Callable[[Record], Any]]) -> Callable[[Record, list[int]], Record]:
    """A computation that numbers the records of each key."""

    def count(record: Record, rows: list[int]) -> Record:
        rows.append(record.row)
        key = repr(keys[record.way[-1]](record))
        return Record(record.row, record.value, record.way, (*record.seen, (number, key, len(rows))))

    return count


def model(shape: Shape, rows: list[Record]) -> list[Record]:
    """The same in plain Python, without what the states say."""
    match shape:
        case Source():
            return rows
        case To(input, function, many):
            results = [function(record) for record in model(input, rows)]
            if many:
                return [record for some in results for record in some]
            return [record for record in results if record is not None]
        case Merge(inputs) | Stateful(inputs):
            return [record.by(name) for name, shape in branches(inputs) for record in model(shape, rows)]


def run(shape: Shape, folder: Path, parallelism: int) -> list[Record]:
    application = thalweg.Application(f"random {parallelism}")
    rows = application.source("in", connector="single_file", path=str(folder / "in"), decoder=decode)
    stream(shape, rows).sink("out", connector="single_file", path=str(folder / "out"), encoder=encode)
    thalweg.run(application, ["--parallelism", str(parallelism)])
    return [read(line) for line in (folder / "out").read_text().splitlines()]


def decode(frame: bytes) -> Record:
    row, value = frame.split()
    return Record(int(row), int(value))


def encode(record: Record) -> str:
    return json.dumps([record.row, record.value, record.way, record.seen])


def read(line: str) -> Record:
    row, value, way, seen = json.loads(line)
    return Record(row, value, tuple(way), tuple((number, key, place) for number, key, place in seen))


def check(found: list[Record], expected: list[Record], shape: Shape, at: str) -> None:
    """Every record is there once, and each state saw the records of a key one after the other: those that
    came the same way, through states of the same keys, in the order of their rows."""
    assert Counter((r.row, r.value, r.way) for r in found) == Counter((r.row, r.value, r.way) for r in expected), at
    ways: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    places: dict[Any, list[int]] = defaultdict(list)
    for record in found:
        keys: tuple[tuple[int, str], ...] = ()
        for number, key, place in record.seen:
            keys = (*keys, (number, key))
            ways[keys, record.way].append((place, record.row))
        if isinstance(shape, Stateful):
            places[record.seen[-1][1]].append(record.seen[-1][2])
    for own in ways.values():
        rows = [row for _, row in sorted(own)]
        assert rows == sorted(rows), f"{at}: rows overtook each other"
    for key, seen in places.items():
        # The keys of two branches may be written alike, but are then one key.
        assert sorted(seen) == list(range(1, len(seen) + 1)), f"{at}: a record of key {key} is missing"


def shape_of(seed: int) -> Shape:
    return draw(random.Random(seed), 1 + seed % DEPTH_MAX, itertools.count())


@pytest.mark.parametrize("seed", range(SEED, SEED + PROGRAMS))
def test_a_random_program_gives_what_plain_python_gives(tmp_path: Path, seed: int) -> None:
    shape, rows = shape_of(seed), [Record(row, row * row % 31) for row in range(ROWS)]
    (tmp_path / "in").write_text("".join(f"{record.row} {record.value}\n" for record in rows))
    expected = model(shape, rows)
    for parallelism in (1, 2, 3):
        check(run(shape, tmp_path, parallelism), expected, shape, f"seed {seed} at {parallelism}: {shape}")


def test_programs_are_deep_and_have_every_step() -> None:
    """The generator makes what it is there for."""

    def kinds(shape: Shape) -> Iterator[str]:
        yield type(shape).__name__ + ("2" if isinstance(shape, Stateful) and len(shape.inputs) > 1 else "")
        inner = [shape.input] if isinstance(shape, To) else getattr(shape, "inputs", [])
        for one in inner:
            yield from kinds(one)

    counts = Counter(kind for seed in range(1, 1 + PROGRAMS) for kind in kinds(shape_of(seed)))
    assert all(counts[kind] >= 5 for kind in ("Source", "To", "Merge", "Stateful", "Stateful2")), counts


def test_a_record_that_is_missing_is_seen() -> None:
    rows = [Record(row, row) for row in range(4)]
    with pytest.raises(AssertionError):
        check(rows[1:], rows, Source(), "planted")
    counted = [Record(row, row, ("branch 0",), ((1, "k", place),)) for place, row in ((2, 0), (1, 1))]
    with pytest.raises(AssertionError, match="overtook"):
        check(counted, counted, Stateful([Source()], KEYS[:1], 1), "planted")
