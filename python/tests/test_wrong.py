"""Bad input of every kind, and the words that a user reads."""

from __future__ import annotations

import ast
import sys
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

import pytest

import thalweg
from processes import Process, run
from thalweg.testing import Driver

PACKAGE = Path(thalweg.__file__).parent

Step = Callable[[Any], Any]


def program(*steps: Step, decoder: Any = thalweg.decode_json, encoder: Any = repr) -> Driver:
    application = thalweg.Application("wrong")
    stream = application.source("in", connector="tcp", decoder=decoder)
    for step in steps:
        stream = step(stream)
    stream.sink("out", connector="stdout", encoder=encoder)
    return Driver(application)


def given(driver: Driver, *frames: bytes | str) -> list[bytes]:
    for frame in frames:
        driver.frame("in", frame)
    return driver.frames("out")


def refusal(*steps: Step, frame: bytes | str = "1", **ends: Any) -> str:
    """What is said of the first frame."""
    with pytest.raises(thalweg.EngineError) as raised:
        given(program(*steps, **ends), frame)
    return str(raised.value)


def boom(*_: Any) -> Any:
    raise ValueError("boom")


def some_then_boom(number: int) -> Any:
    yield number
    boom()


class Broken:
    """An aggregation, one of whose methods fails."""

    def __init__(self, method: str) -> None:
        setattr(self, method, boom)

    def initial(self) -> int:
        return 0

    def update(self, record: Any, count: int) -> int:
        return count + 1

    def combine(self, count: int, other: int) -> int:
        return count + other

    def output(self, key: Any, window: thalweg.Window, count: int) -> int:
        return count


def by_none(stream: Any) -> Any:
    return stream.key_by(lambda _: None)


def itself(record: Any, _: Any) -> Any:
    return record


RAISING: dict[str, tuple[Step, ...]] = {
    "map 'boom'": (lambda s: s.map(boom),),
    "filter 'boom'": (lambda s: s.filter(boom),),
    "flat_map 'boom'": (lambda s: s.flat_map(boom),),
    "flat_map 'some_then_boom'": (lambda s: s.flat_map(some_then_boom),),
    "with_event_time 'boom'": (lambda s: s.with_event_time(boom),),
    "key_by 'boom'": (lambda s: s.key_by(boom).stateful("x", itself, state=list),),
    "stateful 'x'": (lambda s: by_none(s).stateful("x", boom, state=list),),
    "state 'x'": (lambda s: by_none(s).stateful("x", itself, state=boom),),
    **{
        f"'{method}' of window 'w'": (
            lambda s, method=method: by_none(s).window(thalweg.count(1)).aggregate("w", Broken(method)),
        )
        for method in ("initial", "update", "output")
    },
}


@pytest.mark.parametrize("where", RAISING)
def test_a_function_that_raises_is_named_with_its_line(where: str) -> None:
    said = refusal(*RAISING[where])
    assert f"function-failed: {where} raised ValueError: boom" in said
    assert 'raise ValueError("boom")' in said, "the line of the program"


def test_a_decoder_and_an_encoder_that_raise_are_named() -> None:
    assert "source 'in' raised ValueError: boom" in refusal(decoder=boom)
    assert "sink 'out' raised ValueError: boom" in refusal(encoder=boom)


class Undecided:
    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


WRONG_RESULTS: dict[str, tuple[Step, str]] = {
    "truth": (lambda s: s.filter(lambda n: Undecided()), "raised TypeError: neither true nor false"),
    "list": (lambda s: s.flat_map(lambda n: n), "gave 1 of type 'int', not a list or another iterable"),
    "text": (lambda s: s.flat_map(str), "gave '1' of type 'str', not a list or another iterable"),
    "bytes": (lambda s: s.flat_map(lambda n: b"1"), "gave b'1' of type 'bytes', not a list or another iterable"),
    "naive": (
        lambda s: s.with_event_time(lambda n: datetime(2026, 1, 1)),
        "gave datetime.datetime(2026, 1, 1, 0, 0) of type 'datetime', not seconds since 1970 or a datetime with a time zone",
    ),
    "nan": (lambda s: s.with_event_time(lambda n: float("nan")), "gave nan of type 'float', not seconds since 1970"),
    "arguments": (lambda s: s.map(lambda: 1), "takes 0 positional arguments but 1 was given"),
    "module": (lambda s: s.map(lambda n: __import__("no_such")), "ModuleNotFoundError: No module named 'no_such'"),
    "exit": (lambda s: s.map(sys.exit), "map 'exit' raised SystemExit: 1"),
}


@pytest.mark.parametrize("what", WRONG_RESULTS)
def test_a_result_of_the_wrong_type_is_shown(what: str) -> None:
    step, words = WRONG_RESULTS[what]
    assert words in refusal(step)


def test_an_encoder_gives_bytes_or_text_that_utf_8_has() -> None:
    assert "sink 'out' gave 1 of type 'int', not bytes or str" in refusal(encoder=lambda n: n)
    assert "sink 'out' gave None of type 'NoneType', not bytes or str" in refusal(encoder=lambda n: None)
    said = refusal(encoder=lambda n: "\ud800")
    assert "sink 'out' raised UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800'" in said
    assert given(program(encoder=lambda n: b"\xff\xfe"), "1") == [b"\xff\xfe"], "bytes are bytes"


# Keys and what is written down.


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ([], "a 'list' is no key: keys are str, bytes, int, float, bool, None, and tuples of these"),
        ({"a": 1}, "a 'dict' is no key"),
        ((1, [2]), "a 'list' is no key"),
        ({1}, "a 'set' is no key"),
        (object(), "a 'object' is no key"),
        (float("nan"), "NaN is not equal to itself, so it is no key"),
        ("k" * 100_000, "a key of 100009 bytes is longer than 65536"),
        (b"k" * 65_528, "a key of 65537 bytes is longer than 65536"),
        ("\ud800", "is no key"),
    ],
    ids=["list", "dict", "within", "set", "object", "nan", "text", "bytes", "surrogate"],
)
def test_what_is_no_key_is_refused(key: Any, words: str) -> None:
    said = refusal(lambda s: s.key_by(lambda _: key).stateful("x", itself, state=list))
    assert words in said and "key_by '<lambda>'" in said


@pytest.mark.parametrize("key", [b"k" * 65_527, None, (), (None,), -0.0], ids=["long", "none", "empty", "within", "zero"])
def test_keys_that_look_odd_are_keys(key: Any) -> None:
    driver = program(lambda s: s.key_by(lambda _: key).stateful("x", lambda r, seen: seen.append(r) or len(seen), state=list))
    given(driver, "7")
    driver.restart()
    assert given(driver, "7") == [b"1", b"2"]


@pytest.mark.parametrize("on_error", ["skip", "letters"])
@pytest.mark.parametrize(
    "key",
    [[], (1, [2]), float("nan"), "k" * 100_000, b"k" * 65_528, "\ud800", 2**20_000],
    ids=["list", "within", "nan", "text", "bytes", "surrogate", "digits"],
)
def test_a_policy_knows_the_keys_of_the_engine(key: Any, on_error: str) -> None:
    application = thalweg.Application("keys")
    letters = application.dead_letters() if on_error == "letters" else None
    if letters is not None:
        letters.sink("dead", connector="stdout", encoder=lambda letter: letter.error)
    # As long as keys may be, and deep.
    longest: Any = b"k" * (65_536 - 9 * 33)
    for _ in range(32):
        longest = (longest,)
    keys = [longest, key, 2**70, -1.5]
    numbers = application.source("in", connector="tcp", decoder=int)
    keyed = numbers.key_by(lambda number: keys[number], on_error=letters or "skip")
    keyed.stateful("x", itself, state=list).sink("out", connector="stdout", encoder=str)
    driver = Driver(application)
    assert given(driver, "0", "1", "2", "3") == [b"0", b"2", b"3"]
    if letters is None:
        assert driver.left_out() == {"key_by '<lambda>'": 1}
    else:
        assert len(driver.frames("dead")) == 1


def crossing(make: Callable[[], Any]) -> tuple[Step, ...]:
    """A record that crosses to another subtask."""
    return (lambda s: s.map(lambda _: make()), lambda s: by_none(s).stateful("x", lambda r, _: type(r).__name__, state=list))


def nested() -> list[Any]:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    return nest


class Endless:
    """Its pickle never ends."""

    def __reduce__(self) -> Any:
        return (id, (self,))


class Trap:
    """It cannot be opened again."""

    def __reduce__(self) -> Any:
        return (boom, ())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lambda: 1, "key_by '<lambda>' raised AttributeError: Can't |key_by '<lambda>' raised PicklingError"),
        (lambda: threading.Lock(), "raised TypeError: cannot pickle '_thread.lock' object"),
        (lambda: open("/dev/null"), "raised TypeError: cannot pickle '_io.TextIOWrapper' object|cannot pickle 'TextIOWrapper' instances"),
        (nested, "key_by '<lambda>' raised RecursionError: maximum recursion depth exceeded"),
        (Endless, "key_by '<lambda>' raised RecursionError"),
        (Trap, "a record behind key_by '<lambda>' cannot be read: ValueError: boom"),
    ],
    ids=["lambda", "lock", "file", "nested", "endless", "trap"],
)
def test_a_record_that_cannot_be_written_is_told(make: Callable[[], Any], words: str) -> None:
    said = refusal(*crossing(make))
    assert any(word in said for word in words.split("|")), said


def test_what_no_step_can_use_is_refused_where_it_is_declared() -> None:
    application = thalweg.Application("misuse")
    stream = application.source("in", connector="tcp")

    @thalweg.computation_multi
    async def many(record: Any) -> list[Any]:
        return [record]

    @thalweg.key_extractor
    def key(record: Any) -> Any:
        return record

    @thalweg.computation
    def one(record: Any) -> Any:
        return record

    async def awaited() -> list[Any]:
        return []

    rows = stream.rows({"n": "BIGINT"})
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: stream.async_map(many), "'many' is a computation of many, and a computation of one record is wanted here"),
        (lambda: stream.with_event_time(key), "'key' is a key extractor, and an event time is a function without a decorator"),
        (lambda: stream.flat_map(one), "'one' gives one record for each, which 'map' takes"),
        (lambda: by_none(stream).stateful("x", lambda record, state: None, state=int), "no 'int' can be"),
        (lambda: application.state("x", key), "'key' is a key extractor, and what makes a state is a function without"),
        (lambda: application.state("x", awaited), "'awaited' is an 'async def' function"),
        (lambda: rows.map_batches(awaited, {"n": "BIGINT"}), "'awaited' is an 'async def' function"),
        (lambda: rows.to(awaited), "'awaited' has no decorator of thalweg: use 'map_batches'"),
        (lambda: thalweg.tumble(0), "'width' is a number of seconds above 0"),
    ]
    for misuse, words in refused:
        with pytest.raises((TypeError, ValueError), match=words):
            misuse()
    with pytest.raises(AttributeError, match="'Rows' has no 'map': call 'records' before"):
        rows.map  # type: ignore[attr-defined]


def test_state_that_cannot_be_written_is_told() -> None:
    def keep(record: Any, state: list[Any]) -> int:
        state.append(lambda: record)
        return len(state)

    driver = program(lambda s: by_none(s).stateful("x", keep, state=list))
    assert given(driver, "1", "2") == [b"1", b"2"]
    with pytest.raises(thalweg.EngineError, match="AttributeError: Can't|PicklingError") as told:
        driver.restart()
    assert "a state of 'x' cannot be written" in str(told.value) and "the state was [<function" in str(told.value)


def test_a_record_that_cannot_be_written_at_a_branch_is_shown() -> None:
    application = thalweg.Application("branch")
    records = application.source("in", connector="tcp").map(lambda record: lambda: record)
    for name in ("a", "b"):
        records.map(lambda function: function()).sink(name, connector="stdout")
    with pytest.raises(thalweg.EngineError, match="AttributeError: Can't|PicklingError") as told:
        Driver(application).frame("in", "x")
    assert "a record of type 'Object' cannot be written" in str(told.value) and "it was <function" in str(told.value)


def test_huge_records_cross() -> None:
    size = 64 << 20
    driver = program(*crossing(lambda: "x" * size)[:1], lambda s: by_none(s).stateful("x", lambda r, _: len(r), state=list))
    assert given(driver, "1") == [str(size).encode()]
    whole = program(lambda s: s.map(lambda _: "x" * size), encoder=None)
    assert [len(frame) for frame in given(whole, "1")] == [size]


def test_an_error_of_a_huge_record_is_short() -> None:
    said = refusal(lambda s: s.map(lambda _: "x" * (1 << 20)), lambda s: s.map(lambda text: int(text + "y")))
    assert len(said) < 10_000
    assert said.splitlines()[-1].strip() == "the record was '" + "x" * 199 + "…"


# What functions do beside giving results.


def test_what_a_function_does_to_its_record() -> None:
    def mark(record: list[int]) -> list[int]:
        record.append(0)
        return record

    # Beside it on another branch nobody sees it: each branch has its own.
    application = thalweg.Application("branches")
    records = application.source("in", connector="tcp", decoder=thalweg.decode_json)
    records.map(mark).sink("marked", connector="stdout", encoder=repr)
    records.sink("out", connector="stdout", encoder=repr)
    assert given(driver := Driver(application), "[1]", "[2]") == [b"[1]", b"[2]"]
    assert driver.frames("marked") == [b"[1, 0]", b"[2, 0]"]

    # A record that is the state is the state: who changes it behind the step changes that.
    def remember(record: Any, seen: list[Any]) -> list[Any]:
        seen.append(record)
        return seen

    driver = program(lambda s: by_none(s).stateful("seen", remember, state=list), lambda s: s.map(mark))
    assert given(driver, "1", "2") == [b"[1, 0]", b"[1, 0, 2, 0]"]


def test_deep_recursion_is_an_exception() -> None:
    def down(number: int) -> int:
        return down(number + 1)

    said = refusal(lambda s: s.map(down))
    assert "map 'down' raised RecursionError: maximum recursion depth exceeded" in said
    assert "[Previous line repeated" in said and len(said) < 10_000, "the traceback is folded"
    driver = program(lambda s: s.map(lambda n: down(n) if n else n, on_error="skip"))
    assert given(driver, "1", "0") == [b"0"]


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("nothing to say")


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nor here")


def test_a_record_or_an_exception_that_cannot_be_shown() -> None:
    def fail(_: Any) -> Any:
        raise MuteError

    said = refusal(lambda s: s.map(lambda _: Mute()), lambda s: s.map(fail))
    assert "map 'fail' raised MuteError\n" in said
    assert "the record was one that cannot be shown" in said


def test_a_warning_is_a_warning() -> None:
    def warn(number: int) -> int:
        warnings.warn("careful")
        return number

    with pytest.warns(UserWarning, match="careful"):
        assert given(program(lambda s: s.map(warn)), "1") == [b"1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "map 'warn' raised UserWarning: careful" in refusal(lambda s: s.map(warn))


# Programs, as processes.

ECHO = """
import thalweg

{before}

def function(number):
{body}
    return number

app = thalweg.Application("echo")
numbers = app.source("in", connector="single_file", path="numbers.txt", decoder=int)
numbers.map(function).sink("out", connector="single_file", path="out.txt", encoder=str)

if __name__ == "__main__":
    thalweg.run(app)
"""


def echo(folder: Path, body: str, before: str = "") -> tuple[int, str, str]:
    (folder / "numbers.txt").write_text("".join(f"{number}\n" for number in range(5)))
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (folder / "echo.py").write_text(ECHO.format(body=lines, before=before))
    with Process("echo.py", folder=folder, PYTHONUNBUFFERED="") as process:
        return process.ended()


def came_through(folder: Path) -> bool:
    return (folder / "out.txt").read_text() == "0\n1\n2\n3\n4\n"


def test_a_function_that_replaces_standard_output(tmp_path: Path) -> None:
    body = "print(number)\nif number == 1: sys.stdout = io.StringIO()\nif number == 3: sys.stdout = None"
    code, out, err = echo(tmp_path, body, "import io, sys")
    assert (code, out, err) == (0, "0\n1\n", "") and came_through(tmp_path)


def test_a_function_that_closes_standard_output(tmp_path: Path) -> None:
    code, _, err = echo(tmp_path, "if number == 4: sys.stdout.close()", "import sys")
    assert (code, err) == (0, "") and came_through(tmp_path)


def test_threads_that_functions_start(tmp_path: Path) -> None:
    before = "import threading, time\ndef fail(): raise RuntimeError('in a thread')"
    body = "threading.Thread(target=fail if number == 2 else lambda: None).start()"
    code, _, err = echo(tmp_path, body, before)
    assert code == 0 and "RuntimeError: in a thread" in err and came_through(tmp_path)
    body = "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()"
    assert echo(tmp_path, body, before) == (0, "", "") and came_through(tmp_path)


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    def loaded(text: str | None) -> tuple[int, str]:
        if text is not None:
            (tmp_path / "app.py").write_text(text)
        code, out, err = run("-m", "thalweg", "run", "app.py", folder=tmp_path)
        assert out == ""
        return code, err

    code, err = loaded(None)
    assert code == 4 and err.startswith("error[file-not-found]: there is no file 'app.py'\n  help: "), err
    code, err = loaded("import no_such_module\n")
    assert code == 3 and "No module named 'no_such_module'" in err
    assert "\nerror[invalid-program]: 'app.py' cannot be loaded: ModuleNotFoundError\n  help: " in err, err
    code, err = loaded("x = 1\n")
    assert code == 3 and err.startswith("error[invalid-program]: 'app.py' declares no application\n")
    two = "import thalweg\na = thalweg.Application('a')\nb = thalweg.Application('b')\n"
    code, err = loaded(two)
    assert code == 3 and err.startswith("error[invalid-program]: 'app.py' declares 2 applications: 'a', 'b'\n")
    code, err = loaded("def (\n")
    assert code == 3 and "'app.py' cannot be loaded: SyntaxError\n" in err, err
    code, err = loaded("import thalweg\na = thalweg.Application('a')\nl = a.dead_letters()\nl.map(str, on_error=l)\n")
    assert code == 3 and "ValueError: map 'str' reads 'dead letters', so its own cannot go there: that is a loop" in err


def test_a_loop_cannot_be_built() -> None:
    # A step reads what is declared before it. A stream merged with itself is no loop: it is there twice.
    twice = program(lambda s: s.merge(s))
    assert given(twice, "1") == [b"1", b"1"]
    # Nor can steps be put into a circle by a state that they share.
    application = thalweg.Application("shared")
    state = application.state("seen", list)
    stream = application.source("in", connector="tcp", decoder=thalweg.decode_utf8)
    for name in ("a", "b"):
        stream = stream.key_by(lambda r: r).stateful(name, lambda r, seen: seen.append(1) or r, state=state)
    stream.sink("out", connector="stdout")
    with pytest.raises(thalweg.EngineError) as raised:
        given(Driver(application), "x")
    assert "state 'seen'" in str(raised.value) or "'seen'" in str(raised.value), raised.value


def numbers(folder: Path, name: str, function: Callable[[int], int]) -> thalweg.Application:
    application = thalweg.Application(name)
    stream = application.source("in", connector="single_file", path=folder / "numbers.txt", decoder=int)
    stream.map(function).sink("out", connector="single_file", path=folder / f"{name}.txt", encoder=str)
    return application


def test_two_applications_run_one_after_the_other_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("".join(f"{number}\n" for number in range(20_000)))
    applications = [numbers(tmp_path, f"plus{more}", lambda number, more=more: number + more) for more in range(4)]
    for application in applications[:2]:
        thalweg.run(application, [])
    threads = [threading.Thread(target=thalweg.run, args=(application, [])) for application in applications[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for more in range(4):
        lines = (tmp_path / f"plus{more}.txt").read_text().split()
        assert lines == [str(number + more) for number in range(20_000)]


def test_of_two_at_once_the_one_that_fails_fails_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "numbers.txt").write_text("".join(f"{number}\n" for number in range(20_000)))
    both = threading.Barrier(2)
    codes: dict[str, Any] = {}

    def meet(number: int) -> int:
        if number == 0:
            both.wait(60)
        return number

    def fail(number: int) -> int:
        return 1 // (meet(number) - 5)

    def work(application: thalweg.Application) -> None:
        try:
            thalweg.run(application, [])
            codes[application.name] = 0
        except SystemExit as exit:
            codes[application.name] = exit.code

    pair = numbers(tmp_path, "good", meet), numbers(tmp_path, "bad", fail)
    threads = [threading.Thread(target=work, args=(application,)) for application in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {"good": 0, "bad": 1}
    assert "map 'fail' raised ZeroDivisionError" in capfd.readouterr().err
    assert len((tmp_path / "good.txt").read_text().split()) == 20_000


# An interpreter that is too old.


def test_a_too_old_interpreter_is_told() -> None:
    program = "import sys; sys.version_info = (3, 9, 1, 'final', 0); import thalweg"
    code, _, err = run("-c", program)
    assert code == 1
    assert err.splitlines()[-1] == "ImportError: thalweg needs Python 3.10 or newer, and this is Python 3.9"


def test_an_old_interpreter_can_read_what_tells_it() -> None:
    # No newer grammar, and nothing newer is imported before the words are said.
    tree = ast.parse((PACKAGE / "__init__.py").read_text(), feature_version=(3, 4))
    before = tree.body[: next(at for at, node in enumerate(tree.body) if isinstance(node, ast.If))]
    imported = [name.name for node in before if isinstance(node, ast.Import) for name in node.names]
    assert imported == ["sys"] and not any(isinstance(node, ast.ImportFrom) for node in before)
