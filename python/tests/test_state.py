"""States whose class says what is in them, and states that are pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, List, Optional, TypedDict

import pyarrow
import pyarrow.parquet
import pytest
from typing_extensions import NotRequired, Required

import thalweg
from thalweg.shapes import shape_of
from thalweg.testing import Driver

from processes import Process, run, until


@dataclass
class Address:
    city: str
    zips: list[int] = field(default_factory=list)


@dataclass
class Account:
    balance: int = 0
    rate: float = 0.5
    name: Optional[str] = None
    raw: bytes = b""
    open: bool = True
    born: date = date(2000, 1, 2)
    at: time = time(1, 2, 3, 4)
    seen: datetime = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)
    homes: list[Address] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    inner: int


@dataclass
class Slotted:
    __slots__ = ("left", "right")
    left: int
    right: Frozen


@dataclass
class Node:
    name: str
    below: "list[Node]" = field(default_factory=list)


@dataclass
class Priced:
    name: str = "x"
    price: Decimal = Decimal(1)


class Totals(TypedDict):
    votes: int
    names: list[str]


@dataclass
class Bag(list):  # type: ignore[type-arg]
    n: int = 0


@dataclass
class Tally(dict):  # type: ignore[type-arg]
    n: int = 0


@dataclass
class Broken(Exception):
    n: int = 0


@dataclass
class Level(int):
    n: int = 0


@dataclass
class Holder:
    bags: list[Bag] = field(default_factory=list)


class Cached:
    __slots__ = ("cache",)


@dataclass(slots=True)
class Slots(Cached):
    n: int = 0


class Mixin:
    pass


@dataclass(slots=True)
class Mixed(Mixin):
    n: int = 0


@dataclass
class InSlots:
    __slots__ = ("n",)
    n: int


@dataclass
class Both(InSlots):
    m: int = 0


@dataclass
class Opened:
    n: int = 0

    def __getstate__(self) -> dict[str, int]:
        return {"n": self.n + 100}


class Doubled:
    """Gives twice what was set."""

    def __get__(self, holder: Any, holders: Any = None) -> Any:
        return 0 if holder is None else 2 * holder.__dict__["n"]

    def __set__(self, holder: Any, value: int) -> None:
        holder.__dict__["n"] = value


@dataclass
class Twice:
    n: Any = Doubled()

    __annotations__ = {"n": int}


@dataclass
class Unread:
    known: list[int]
    unknown: Nope | None = None  # type: ignore[name-defined]
    absent: json.nope | None = None  # type: ignore[name-defined]
    broken: "1 +" = None  # type: ignore
    bare: List = field(default_factory=list)  # type: ignore[type-arg]


def new_slotted() -> Slotted:
    return Slotted(1, Frozen(2))


def new_bag() -> Bag:
    bag = Bag(3)
    bag.append("a")
    return bag


def new_level() -> Level:
    return int.__new__(Level, 7)


def new_both() -> Both:
    return Both(0)


def new_totals() -> Totals:
    return {"votes": 0, "names": []}


def through_a_restart(make: Callable[[], Any], change: Callable[[Any], None]) -> tuple[Any, Any]:
    """The state of a key as it is left, and as it comes back."""
    seen: list[Any] = []

    def look(record: bytes, state: Any) -> None:
        if record == b"change":
            change(state)
        seen.append(state)

    application = thalweg.Application("states")
    records = application.source("in", connector="tcp", address="127.0.0.1:1")
    records.key_by(lambda record: 1).stateful("state", look, state=make).discard()
    driver = Driver(application)
    driver.frame("in", b"change")
    driver.restart()
    driver.frame("in", b"look")
    assert seen[0] is not seen[1], "it has been away"
    return seen[0], seen[1]


def nothing(state: Any) -> None:
    pass


def set_all(**values: int) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for name, value in values.items():
            setattr(state, name, value)

    return change


def fill(account: Account) -> None:
    account.balance, account.rate, account.name, account.raw, account.open = -(2**63), float("inf"), "é", b"\0", False
    account.homes += [Address("Rome", [1, 2]), Address("", [])]


# What columns cannot hold as it is comes back all the same: it is pickled.
ODD: dict[str, Callable[[Account], Any]] = {
    "an int for a float": lambda a: setattr(a, "rate", 3),
    "a flag for an int": lambda a: setattr(a, "balance", True),
    "a large int": lambda a: setattr(a, "balance", 2**63),
    "a lone surrogate": lambda a: setattr(a, "name", "\ud800"),
    "another attribute": lambda a: setattr(a, "extra", 1),
    "no attribute": lambda a: delattr(a, "rate"),
    "another attribute in place of one": lambda a: a.__dict__.update(extra=a.__dict__.pop("rate")),
    "another zone": lambda a: setattr(a, "seen", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
    "no zone": lambda a: setattr(a, "seen", datetime(2026, 1, 1)),
    "far away": lambda a: setattr(a, "seen", datetime(9999, 1, 1, tzinfo=timezone.utc)),
    "the second of two times": lambda a: setattr(a, "at", time(1, fold=1)),
    "the second of two instants": lambda a: setattr(a, "seen", a.seen.replace(fold=1)),
    "a tuple for a list": lambda a: setattr(a, "homes", (Address("x"),)),
    "a datetime for a date": lambda a: setattr(a, "born", datetime(2026, 1, 1)),
    "deep inside": lambda a: a.homes.append(Address("x", [True])),
    "another class": lambda a: setattr(a, "homes", [Frozen(1)]),
}


@pytest.mark.parametrize("change", [nothing, fill, *ODD.values()], ids=["nothing", "all", *ODD])
def test_a_dataclass_comes_back_as_it_was(change: Callable[[Account], Any]) -> None:
    before, after = through_a_restart(Account, change)
    assert type(after) is Account
    assert repr(vars(after)) == repr(vars(before)), "even where types are equal and not the same"


def test_frozen_and_slotted_classes_come_back() -> None:
    before, after = through_a_restart(new_slotted, lambda state: setattr(state, "left", 7))
    assert (after, type(after.right)) == (Slotted(7, Frozen(2)), Frozen)


def move_n(state: Any) -> None:
    del state.n
    state.m = 5


def contents(state: Any) -> list[Any]:
    """All that is in a state: what its base keeps, its attributes, and its slots."""
    items = state if isinstance(state, list) else list(getattr(state, "items", tuple)())
    number = int(state) if isinstance(state, int) else None
    slots = [(name, getattr(state, name, None)) for name in ("n", "cache")]
    return [type(state), [*items], number, getattr(state, "args", None), slots, getattr(state, "__dict__", None)]


# Of classes that are not written in Python, and with slots or attributes that are no fields.
MORE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "list": (Bag, lambda state: state.append("a")),
    "dict": (Tally, lambda state: state.update(a=2, b=1)),
    "exception": (Broken, lambda state: setattr(state, "args", (8,))),
    "int": (new_level, set_all(n=1)),
    "slots of a base": (Slots, set_all(n=5, cache=7)),
    "attributes beside slots": (Mixed, set_all(n=5, cache=7)),
    "slots beside attributes": (new_both, set_all(n=5, cache=7)),
    "an attribute in place of a slot": (Mixed, move_n),
    "a descriptor": (Twice, set_all(n=3)),
}


@pytest.mark.parametrize(("make", "change"), MORE.values(), ids=MORE)
def test_what_is_more_than_its_fields_comes_back(make: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    before, after = through_a_restart(make, change)
    assert contents(after) == contents(before)


def test_a_list_within_a_dataclass_comes_back() -> None:
    _, after = through_a_restart(Holder, lambda state: state.bags.append(new_bag()))
    assert contents(after.bags[0]) == contents(new_bag())


def test_a_class_says_what_of_it_is_pickled() -> None:
    _, opened = through_a_restart(Opened, nothing)
    assert vars(opened) == {"n": 100}


def test_fields_lie_in_slots_and_beside_them() -> None:
    before, after = through_a_restart(new_both, set_all(n=1, m=2))
    assert (after, after.n, vars(after)) == (before, 1, {"m": 2})
    assert shape_of(Both) == ("dataclass", Both, [("n", "int", None), ("m", "int", ("value", 0))])
    assert shape_of(Mixed) == ("dataclass", Mixed, [("n", "int", ("value", 0))]), "it may have more, and need not"


def test_no_constructor_runs_for_a_state_that_comes_back() -> None:
    made: list[int] = []

    @dataclass
    class Noisy:
        value: int = 0

        def __post_init__(self) -> None:
            made.append(1)

    through_a_restart(Noisy, nothing)
    assert made == [1]


@pytest.mark.parametrize(
    "change",
    [nothing, lambda t: t["names"].append("x"), lambda t: t.pop("votes"), lambda t: t.update(more=1), lambda t: t.update(votes=t.pop("votes"))],
    ids=["nothing", "all", "less", "more", "another order"],
)
def test_a_typed_dict_comes_back_as_it_was(change: Callable[[Any], Any]) -> None:
    before, after = through_a_restart(new_totals, change)
    assert list(after.items()) == list(before.items())


def test_what_has_a_shape() -> None:
    class Exact(TypedDict, total=False):
        price: Required[Decimal]
        count: int

    class Named(TypedDict):
        names: "NotRequired[list[str]]"
        count: int

    @dataclass
    class Pickle:
        pickle: int = 0

    for made in (list, dict, lambda: 1, int):
        assert shape_of(made) is None, made
    zips = ("zips", ("list", "int"), ("factory", list))
    assert shape_of(Address) == ("dataclass", Address, [("city", "str", None), zips])
    assert shape_of(new_totals) == ("dict", Totals, [("votes", "int", None), ("names", ("list", "str"), None)])
    absent = ("absent", None)
    assert shape_of(Exact) == ("dict", Exact, [("price", ("other", "Decimal"), None), ("count", "int", absent)])
    assert shape_of(Named) == ("dict", Named, [("names", ("list", "str"), absent), ("count", "int", None)])
    assert shape_of(Frozen) == ("dataclass", Frozen, [("inner", "int", None)])
    reserved = ("other", "a field with the name of the column 'pickle'")
    assert shape_of(Pickle) == ("dataclass", Pickle, [("pickle", reserved, ("value", 0))])
    none = ("value", None)
    assert shape_of(Unread) == (
        "dataclass",
        Unread,
        [
            ("known", ("list", "int"), None),
            ("unknown", ("other", "Nope | None"), none),
            ("absent", ("other", "json.nope | None"), none),
            ("broken", ("other", "'1 +'"), none),
            ("bare", ("other", "List"), ("factory", list)),
        ],
    )
    for holder in (Bag, Tally, Broken, Level, Slots, Opened, Twice):
        assert shape_of(holder)[0] == "pickled", holder  # type: ignore[index]
    below = ("below", ("list", ("other", "Node")), ("factory", list))
    assert shape_of(Node) == ("dataclass", Node, [("name", "str", None), below])


def test_what_no_column_holds_is_pickled_whole() -> None:
    before, after = through_a_restart(Priced, lambda state: setattr(state, "price", Decimal("1.50")))
    assert (after, str(after.price)) == (before, "1.50")


PROGRAM = """
from dataclasses import dataclass
import thalweg

@dataclass
class Count:
    rows: int = 0
    last: {hint} = {first}

def number(row, count):
    count.rows += 1
    count.last = row["n"]
    return f"{{row['k']}} {{count.rows}}"

application = thalweg.Application("counter")
rows = application.source("in", connector="single_file", path="in.jsonl", decoder=thalweg.decode_json)
counted = rows.key_by(lambda row: row["k"]).stateful("count", number, state=Count)
counted.sink("out", connector="single_file", path="out.txt")

if __name__ == "__main__":
    thalweg.run(application)
"""


def job(folder: Path, hint: str = "float", first: str = "0.0") -> None:
    (folder / "app.py").write_text(PROGRAM.format(hint=hint, first=first))
    (folder / "in.jsonl").write_text("".join(json.dumps({"k": n % 3, "n": n / 2}) + "\n" for n in range(99)))


def test_a_parquet_reader_sees_the_fields(tmp_path: Path) -> None:
    job(tmp_path)
    code, _, err = run("app.py", "--state-dir", "state", folder=tmp_path)
    assert code == 0, err
    tables = [pyarrow.parquet.read_table(file) for file in (tmp_path / "state").rglob("*.parquet")]
    states = [table for table in tables if "state" in table.column_names]
    assert states, "no state is kept"
    rows = [row for table in states for row in table.column("state").to_pylist()]
    assert {"rows": 33, "last": 49.0, "pickle": None} in rows, rows




@pytest.mark.parametrize(
    ("hint", "first", "words"),
    [("float", "0.0", "a 'dict' can only be pickled"), ("object", "None", "can only be pickled")],
    ids=["record", "state"],
)
def test_pickles_are_refused(tmp_path: Path, hint: str, first: str, words: str) -> None:
    job(tmp_path, hint, first)
    code, _, err = run("app.py", "--no-pickle", "--state-dir", "state", folder=tmp_path)
    assert code == 1 and words in err and "--no-pickle refuses" in err, err
    assert run("app.py", "--state-dir", "state", folder=tmp_path)[0] == 0


def plain_records(program: str) -> str:
    """The same program, with records that need no pickle."""
    keyed = 'rows.key_by(lambda row: row["k"])'
    assert keyed in program
    program = program.replace(keyed, 'rows.map(lambda row: (row["k"], row["n"])).key_by(lambda row: row[0])')
    return program.replace('row["n"]\n    return', "row[1]\n    return").replace("row['k']}", "row[0]}")


def test_a_pickle_that_is_kept_is_not_opened(tmp_path: Path) -> None:
    job(tmp_path, "object", "None")
    program = plain_records((tmp_path / "app.py").read_text())
    slow = program.replace("    count.rows += 1", "    import time; time.sleep(0.05)\n    count.rows += 1")
    (tmp_path / "app.py").write_text(slow)
    # More than it works off before it is stopped.
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"k": n % 3, "n": n / 2}) + "\n" for n in range(3_000)))
    with Process("app.py", "--state-dir", "state", "--checkpoint-interval", "50ms", folder=tmp_path) as process:
        until(lambda: len(list(tmp_path.glob("state/counter/complete/*"))) > 1, "two checkpoints are made")
        assert process.interrupted()[0] == 130
    (tmp_path / "app.py").write_text(program)
    code, _, err = run("app.py", "--no-pickle", "--state-dir", "state", folder=tmp_path)
    assert code == 1 and "a state of 'count' cannot be read" in err and "--no-pickle refuses to open" in err, err
    assert run("app.py", "--state-dir", "state", folder=tmp_path)[0] == 0
    assert (tmp_path / "out.txt").read_text().split()[-2:] == ["2", "1000"]


def test_without_pickles_a_program_of_plain_records_runs(tmp_path: Path) -> None:
    job(tmp_path)
    program = plain_records((tmp_path / "app.py").read_text())
    (tmp_path / "app.py").write_text(program)
    code, _, err = run("app.py", "--no-pickle", "--state-dir", "state", folder=tmp_path)
    assert code == 0, err
    assert len((tmp_path / "out.txt").read_text().split("\n")) == 100
