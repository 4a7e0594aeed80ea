"""States whose class has other fields than in the version of the program that kept them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet
import pytest

from processes import Process, run, until

HEAD = """
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Optional, TypedDict
from typing_extensions import NotRequired

import thalweg

"""

LOOK = """
def items_of(state):
    if isinstance(state, dict):
        return list(state.items())
    return [(name, getattr(state, name)) for name in (*getattr(type(state), "__slots__", ()), *getattr(state, "__dict__", ()))]

application = thalweg.Application("states")
numbers = application.source("in", connector="single_file", path="in.txt", decoder=int).key_by(lambda n: n % 2)

def stateful(name, make):
    def look(n, state):
        time.sleep({pause})
        if {silent}:
            change(name, state)
            return None
        return f"{{type(state).__name__}} {{items_of(state)!r}}"

    numbers.stateful(name, look, state=make).sink(name, connector="single_file", path=f"{{name}}.txt")

for name, make in makes.items():
    stateful(name, make)

if __name__ == "__main__":
    thalweg.run(application)
"""


class Change(NamedTuple):
    """A state `STATE` before and after, and what became of the states that there were."""

    before: str
    # What a record does to a state before.
    change: str
    after: str
    expected: str


CHANGES = {
    "fields come with a default, go, and change places": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n gone: str = 'g'",
        "state.a = 7",
        "@dataclass\nclass STATE:\n b: list[str] = field(default_factory=list)\n a: int = 1\n c: float = 0.5\n d: Optional[int] = None",
        "STATE [('b', []), ('a', 7), ('c', 0.5), ('d', None)]",
    ),
    "an int becomes a float": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n b: Optional[int] = None\n c: list[int] = field(default_factory=list)",
        "state.a, state.c = 2**53, [1, 2]",
        "@dataclass\nclass STATE:\n a: float = 1\n b: Optional[float] = None\n c: list[float] = field(default_factory=list)",
        "STATE [('a', 9007199254740992.0), ('b', None), ('c', [1.0, 2.0])]",
    ),
    "classes within classes": Change(
        "@dataclass(frozen=True)\nclass STATEInner:\n x: int\n y: int\n"
        "@dataclass\nclass STATE:\n one: STATEInner = STATEInner(1, 2)\n many: list[STATEInner] = field(default_factory=list)",
        "state.many = [STATEInner(3, 4)]",
        "@dataclass(frozen=True)\nclass STATEInner:\n z: str = 'z'\n y: int = 0\n"
        "@dataclass\nclass STATE:\n many: list[STATEInner] = field(default_factory=list)\n one: Optional[STATEInner] = None",
        "STATE [('many', [STATEInner(z='z', y=4)]), ('one', STATEInner(z='z', y=2))]",
    ),
    "slots": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n b: int = 2",
        "state.a = 7",
        "@dataclass(slots=True)\nclass STATE:\n c: int = 3\n a: int = 1",
        "STATE [('c', 3), ('a', 7)]",
    ),
    "items of a dict": Change(
        "class STATE(TypedDict):\n a: int\n b: str\n c: int\ndef make_STATE() -> STATE: return dict(a=1, b='b', c=2)",
        "state['a'] = 7",
        "class STATE(TypedDict):\n d: NotRequired[int]\n c: int\n a: int\ndef make_STATE() -> STATE: return dict(a=1, c=2)",
        "dict [('c', 2), ('a', 7)]",
    ),
    "what was pickled because it did not fit": Change(
        "@dataclass\nclass STATE:\n a: float = 1.0\n b: int = 2",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: float = 1.0\n c: list[int] = field(default_factory=lambda: [3])",
        "STATE [('a', 7), ('b', 2), ('c', [3])]",
    ),
    "what is pickled by the places of its fields": Change(
        "@dataclass(frozen=True, slots=True)\nclass STATE:\n a: float = 1\n b: int = 2",
        "pass",
        "@dataclass(frozen=True, slots=True)\nclass STATE:\n a: float = 5\n b: int = 6\n c: list[int] = field(default_factory=lambda: [3])",
        "STATE [('a', 1), ('b', 2), ('c', [3])]",
    ),
    "what was pickled has no default of its class": Change(
        "@dataclass\nclass STATE:\n a: float = 1.0",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: float = 1.0\n b: str = 'b'",
        "STATE [('a', 7), ('b', 'b')]",
    ),
    "what was pickled holds other classes": Change(
        "@dataclass\nclass STATEInner:\n x: int = 1\n"
        "@dataclass\nclass STATE:\n one: STATEInner = field(default_factory=STATEInner)\n"
        " many: list[STATEInner] = field(default_factory=list)\n few: list[list[STATEInner]] = field(default_factory=list)",
        "state.many, state.few = [STATEInner(2)], ([STATEInner(3)],)",
        "@dataclass\nclass STATEInner:\n x: int = 1\n y: list[int] = field(default_factory=list)\n"
        "@dataclass\nclass STATE:\n one: STATEInner = field(default_factory=STATEInner)\n"
        " many: list[STATEInner] = field(default_factory=list)\n few: list[list[STATEInner]] = field(default_factory=list)",
        "STATE [('one', STATEInner(x=1, y=[])), ('many', [STATEInner(x=2, y=[])]), ('few', ([STATEInner(x=3, y=[])],))]",
    ),
    "a dict that was pickled holds another class": Change(
        "@dataclass\nclass STATEInner:\n x: float = 1\n"
        "class STATE(TypedDict):\n one: STATEInner\ndef make_STATE() -> STATE: return dict(one=STATEInner())",
        "pass",
        "@dataclass\nclass STATEInner:\n x: float = 1\n y: list[int] = field(default_factory=list)\n"
        "class STATE(TypedDict):\n one: STATEInner\ndef make_STATE() -> STATE: return dict(one=STATEInner())",
        "dict [('one', STATEInner(x=1, y=[]))]",
    ),
    "slots that were pickled": Change(
        "@dataclass(slots=True)\nclass STATE:\n a: float = 1.0",
        "state.a = 7",
        "@dataclass(slots=True)\nclass STATE:\n a: float = 1.0\n b: str = 'b'",
        "STATE [('a', 7), ('b', 'b')]",
    ),
    "a class says how it is pickled": Change(
        "@dataclass\nclass STATE:\n a: int = 1",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: int = 1\n b: str = 'b'\n def __reduce__(self): return STATE, (self.a,)",
        "STATE [('a', 7), ('b', 'b')]",
    ),
    "a hint names nothing": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n gone: int = 1",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: int = 1\n b: 'Nope | None' = None\n c: '1 +' = None",
        "STATE [('a', 7), ('b', None), ('c', None)]",
    ),
    "a field has the name of the column of pickles": Change(
        "@dataclass\nclass STATE:\n a: int = 1",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: int = 1\n pickle: int = 5",
        "STATE [('a', 7), ('pickle', 5)]",
    ),
    "what was pickled gets a field of that name": Change(
        "@dataclass\nclass STATE:\n a: float = 1",
        "pass",
        "@dataclass\nclass STATE:\n a: float = 1\n pickle: int = 5",
        "STATE [('a', 1), ('pickle', 5)]",
    ),
    "what lacked an attribute still does": Change(
        "@dataclass\nclass STATE:\n a: list[int] = field(default_factory=list)\n b: int = 2",
        "state.__dict__.pop('a', None)",
        "@dataclass\nclass STATE:\n a: list[int] = field(default_factory=list)\n c: int = 3",
        "STATE [('b', 2), ('c', 3)]",
    ),
    "columns become pickles": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n b: int = 2",
        "state.a = 7",
        "@dataclass\nclass STATE:\n price: Decimal = Decimal(3)\n a: int = 1",
        "STATE [('price', Decimal('3')), ('a', 7)]",
    ),
    "pickles become columns": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n price: Decimal = Decimal(3)",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: int = 1\n b: str = 'b'",
        "STATE [('a', 7), ('price', Decimal('3'))]",
    ),
    "a class becomes a dataclass": Change(
        "class STATE:\n def __init__(self): self.a = 1",
        "state.a = 7",
        "@dataclass\nclass STATE:\n a: int = 1",
        "STATE [('a', 7)]",
    ),
    "a dataclass becomes a dict": Change(
        "@dataclass\nclass STATE:\n a: int = 1\n b: int = 2",
        "state.a = 7",
        "class STATE(TypedDict):\n a: int\ndef make_STATE() -> STATE: return dict(a=1)",
        "dict [('a', 7)]",
    ),
}

ENDLESS = "".join(f"{n}\n" for n in range(100_000))


def version(sources: list[str], change: str, slow: bool) -> str:
    """A program with a state of each source, under names of their own."""
    named = [source.replace("STATE", f"S{n}") for n, source in enumerate(sources)]
    makes = [f"make_S{n}" if f"make_S{n}" in source else f"S{n}" for n, source in enumerate(named)]
    parts = ["\n".join(named), f"makes = dict({', '.join(f'S{n}={make}' for n, make in enumerate(makes))})", change]
    return HEAD + "\n".join(parts) + LOOK.format(pause=0.001 if slow else 0, silent=slow)


def epochs(folder: Path, job: str) -> int:
    """The newest complete epoch."""
    return max((int(file.name) for file in folder.glob(f"state/{job}/complete/[0-9]*")), default=0)


def begun(folder: Path, changes: list[Change]) -> None:
    """A job that has made checkpoints, and was stopped."""
    cases = [f"    if name == 'S{n}': {case.change.replace('STATE', f'S{n}')}" for n, case in enumerate(changes)]
    change = "\n".join(["def change(name, state):", *cases])
    (folder / "app.py").write_text(version([case.before for case in changes], change, slow=True))
    (folder / "in.txt").write_text(ENDLESS)
    with Process("app.py", "--state-dir", "state", "--checkpoint-interval", "50ms", folder=folder) as process:
        until(lambda: epochs(folder, "states") > 1, "two checkpoints are made")
        code, _, err = process.interrupted()
        assert code == 130, err


def test_states_come_back_with_the_fields_of_today(tmp_path: Path) -> None:
    changes = list(CHANGES.values())
    begun(tmp_path, changes)
    (tmp_path / "app.py").write_text(version([case.after for case in changes], "", slow=False))
    with Process("app.py", "--state-dir", "state", folder=tmp_path) as process:
        for n in range(len(changes)):
            file = tmp_path / f"S{n}.txt"
            until(lambda file=file: file.exists() and "\n" in file.read_text(), f"{file} is written")  # type: ignore[misc]
        _, _, err = process.interrupted()
    for n, (name, case) in enumerate(CHANGES.items()):
        restored = (tmp_path / f"S{n}.txt").read_text().split("\n")[0]
        assert restored == case.expected.replace("STATE", f"S{n}"), name
        assert f"  changed  'S{n}/state'" in err, name
    assert "field 'b' is new, field 'c' is new, field 'd' is new, field 'gone' is dropped" in err, err


BEFORE = "@dataclass\nclass STATE:\n a: int = 1\n r: float = 0.5\n t: str = ''"

REFUSED = {
    "another type": ("@dataclass\nclass STATE:\n a: str = ''", "field 'a' was kept as BIGINT and is TEXT now"),
    "less than it was": ("@dataclass\nclass STATE:\n r: int = 1", "field 'r' was kept as DOUBLE and is BIGINT now"),
    "no default": ("@dataclass\nclass STATE:\n b: int\n a: int = 1\ndef make_STATE() -> STATE: return STATE(1)", "field 'b' is new and has no default"),
    "a field of the name of the column of pickles": (
        "@dataclass\nclass STATE:\n pickle: int\n a: int = 1\ndef make_STATE() -> STATE: return STATE(1)",
        "field 'pickle' is new and has no default",
    ),
    "an item that must be there": (
        "class STATE(TypedDict):\n a: int\n b: int\ndef make_STATE() -> STATE: return dict(a=1, b=1)",
        "field 'b' is new and has no default",
    ),
    "no column": ("@dataclass\nclass STATE:\n r: Decimal = Decimal(1)", "field 'r' was kept as DOUBLE and is Decimal now"),
    "no fields": (
        "class STATE:\n pass",
        "the state was kept as STRUCT<a BIGINT, r DOUBLE, t TEXT, pickle BYTEA> and is of a class that declares no fields now",
    ),
}


def test_what_does_not_fit_is_refused_by_name_and_nothing_is_lost(tmp_path: Path) -> None:
    begun(tmp_path, [Change(BEFORE, "state.a = 2**53 + 1", "", "")])
    kept = epochs(tmp_path, "states")
    for name, (after, words) in REFUSED.items():
        (tmp_path / "app.py").write_text(version([after], "", slow=False))
        code, _, err = run("app.py", "--state-dir", "state", folder=tmp_path)
        assert code == 5 and "state-dropped" in err and "'S0/state'" in err and words in err, (name, err)
        assert "give fields the types that they had, and new ones a default" in err, err
    # What only the states themselves tell.
    for after, words in {
        "@dataclass\nclass STATE:\n a: float = 1.0": "no float is 9007199254740993",
        "@dataclass\nclass STATE:\n b: int = field(default_factory=lambda: 1 // 0)": "ZeroDivisionError",
    }.items():
        (tmp_path / "app.py").write_text(version([after], "", slow=False))
        code, _, err = run("app.py", "--state-dir", "state", folder=tmp_path)
        assert code == 5 and "S0" in err and words in err and "nothing is lost" in err, err
    assert epochs(tmp_path, "states") == kept
    (tmp_path / "app.py").write_text(version([BEFORE], "def change(name, state): assert state.a == 2**53 + 1", slow=True))
    with Process("app.py", "--state-dir", "state", "--checkpoint-interval", "50ms", folder=tmp_path) as process:
        until(lambda: epochs(tmp_path, "states") > kept, "it goes on")
        assert process.interrupted()[0] == 130
    # With consent it begins anew.
    (tmp_path / "app.py").write_text(version(["@dataclass\nclass STATE:\n a: str = 'new'"], "", slow=False))
    with Process("app.py", "--state-dir", "state", "--allow-dropped-state", folder=tmp_path) as process:
        until(lambda: (tmp_path / "S0.txt").exists() and "\n" in (tmp_path / "S0.txt").read_text(), "it writes")
        process.interrupted()
    assert (tmp_path / "S0.txt").read_text().startswith("S0 [('a', 'new')]\n")


def test_fields_whose_places_are_all_that_a_pickle_has_keep_them(tmp_path: Path) -> None:
    declared, slots = (f"@dataclass({how})\nclass STATE:\n " for how in ("frozen=True, slots=True", "slots=True"))
    fields = "a: float = 1\n b: int = 2"
    begun(tmp_path, [Change(declared + fields, "pass", "", ""), Change(slots + fields, "pass", "", "")])
    for after in ("c: int = 3\n a: float = 1\n b: int = 2", "b: int = 2\n a: float = 1", "a: float = 1\n c: int = 3", "a: float = 1"):
        (tmp_path / "app.py").write_text(version([declared + after, slots + fields], "", slow=False))
        code, _, err = run("app.py", "--state-dir", "state", folder=tmp_path)
        assert code == 5 and "pickled by the places of its fields" in err and "nothing is lost" in err, err
    (tmp_path / "app.py").write_text(version([declared + fields, slots + "a: float = 1"], "", slow=False))
    code, _, err = run("app.py", "--state-dir", "state", folder=tmp_path)
    assert code == 5 and "'S1' object has no attribute 'b'" in err and "nothing is lost" in err, err


COUNT = """
import json
import time
from dataclasses import dataclass, field

import thalweg

@dataclass
class Count:
{fields}

def number(n, count):
    if n % 20 == 0:
        time.sleep(0.002)
    {step}
    return json.dumps([n, count.rows, {seen}])

application = thalweg.Application("counter")
numbers = application.source("in", connector="single_file", path="in.txt", decoder=int)
numbers.key_by(lambda n: n % {keys}).stateful("count", number, state=Count).sink("out", connector="single_file", path="out.txt")

if __name__ == "__main__":
    thalweg.run(application)
"""

# So many that a short life sees few of them.
KEYS = 3001

FIRST = COUNT.format(keys=KEYS, fields="    rows: int = 0\n    gone: str = 'x'", step="count.rows += 1", seen="['first']")
SECOND = COUNT.format(
    keys=KEYS,
    fields="    notes: list[str] = field(default_factory=lambda: ['converted'])\n    rows: int = 0",
    step="count.rows += 1",
    seen="count.notes",
)
# A field of the first version is there again, and is not what it was.
THIRD = COUNT.format(
    keys=KEYS,
    fields="    gone: str = 'again'\n    rows: float = 0.0\n    notes: list[str] = field(default_factory=list)",
    step="count.rows += 1.0",
    seen="[count.gone, *count.notes]",
)

# More than is read before it is stopped for the last time.
ROWS = 1_000_000


def test_a_chain_of_versions_is_stopped_killed_and_rescaled_between_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{n}\n" for n in range(ROWS)))
    flags = ("--state-dir", "state", "--checkpoint-interval", "10ms", "--set", "batch-rows-max=100")

    def live(program: str, parallelism: int, made: int, compacted: bool = False, kill: bool = False) -> str:
        (tmp_path / "app.py").write_text(program)
        enough = epochs(tmp_path, "counter") + made
        with Process("app.py", *flags, "--parallelism", str(parallelism), folder=tmp_path) as process:
            until(lambda: epochs(tmp_path, "counter") >= enough, "checkpoints are made")
            if compacted:
                until(lambda: any(tmp_path.glob("state/counter/state/**/*compacted*")), "layers are rewritten")
            if kill:
                process.process.kill()
                return process.ended()[2]
            code, _, err = process.interrupted()
            assert code == 130, err
            return err

    live(FIRST, 2, 4)
    # What a new version has done before its first checkpoint is undone, and the version before goes on.
    before = (tmp_path / "out.txt").stat().st_size
    (tmp_path / "app.py").write_text(SECOND)
    with Process("app.py", "--state-dir", "state", "--checkpoint-interval", "10min", folder=tmp_path) as process:
        until(lambda: "converted" in (tmp_path / "out.txt").read_text()[before:], "rows are counted in the new form")
    live(FIRST, 2, 1)
    said = live(SECOND, 3, 2)
    assert "  changed  'count/state'" in said and "field 'notes' is new, field 'gone' is dropped" in said, said
    live(SECOND, 2, 25, compacted=True, kill=True)
    said = live(THIRD, 1, 1)
    assert "field 'gone' is new, field 'rows' was BIGINT and is DOUBLE" in said, said
    said = live(THIRD, 4, 2)
    assert "changed" not in said, said

    counted = [0] * KEYS
    stages: list[int] = []
    for line in (tmp_path / "out.txt").read_text().splitlines():
        n, rows, seen = json.loads(line)
        counted[n % KEYS] += 1
        assert (rows, n // KEYS + 1) == (counted[n % KEYS],) * 2, "every row is counted once"
        stages.append([["first"], ["converted"], ["again", "converted"]].index(seen))
    assert stages == sorted(stages) and set(stages) == {0, 1, 2}, "each version takes over from the one before"


def test_a_checkpoint_has_the_columns_of_one_version(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{n}\n" for n in range(ROWS)))
    for program in (FIRST, SECOND):
        (tmp_path / "app.py").write_text(program)
        enough = epochs(tmp_path, "counter") + 3
        with Process("app.py", "--state-dir", "state", "--checkpoint-interval", "20ms", "--set", "batch-rows-max=100", folder=tmp_path) as process:
            until(lambda enough=enough: epochs(tmp_path, "counter") >= enough, "checkpoints are made")  # type: ignore[misc]
            assert process.interrupted()[0] == 130
    code, _, err = run("-m", "thalweg", "state", "export", "state", "out", folder=tmp_path)
    assert code == 0, err
    table = pyarrow.parquet.read_table(tmp_path / "out" / "count.state.state.parquet")
    states = table.column("state")
    assert [field.name for field in states.type] == ["notes", "rows", "pickle"]
    assert all(state["notes"] == ["converted"] for state in states.to_pylist())
