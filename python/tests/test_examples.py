"""The examples of `examples/python`, as processes that others talk to over TCP."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path
from socket import socket
from typing import Callable

import pytest

from processes import EXAMPLES, Collector, Process, connect, free_address, run, send

TIME = b"20261120-10:00:00.000"


@pytest.mark.parametrize("parallelism", ["1", "3"])
def test_words_are_counted(parallelism: str) -> None:
    frames = ["the pool, and the river", "", "'The' 7 pools - pool", "  "] * 50
    words = "the pool and the river the 7 pools pool".split() * 50
    text_in = free_address()
    with Collector() as out:
        program = EXAMPLES / "word_count.py"
        flags = ["--parallelism", parallelism]
        with Process(program, *flags, THALWEG_IN=text_in, THALWEG_OUT=out.address) as process:
            with connect(text_in) as peer:
                send(peer, *(frame.encode() for frame in frames))
                lines = [out.line() for _ in words]
            code, said, err = process.interrupted()
    assert (code, said, err) == (130, "", "stopped\n")
    expected = {f"{word} => {total + 1}" for word, totals in Counter(words).items() for total in range(totals)}
    assert len(lines) == len(set(lines)) and set(lines) == expected
    for word, total in Counter(words).items():
        own = [line for line in lines if line.startswith(f"{word} ")]
        assert own == [f"{word} => {n + 1}" for n in range(total)], "in order"


def click(user: str, page: str, time: float) -> bytes:
    return json.dumps({"user": user, "page": page, "time": time}).encode() + b"\n"


@pytest.mark.parametrize("parallelism", ["1", "3"])
def test_sessions_end_by_the_times_of_clicks(parallelism: str) -> None:
    clicks_in = free_address()
    with Collector() as out:
        flags = ["--parallelism", parallelism]
        addresses = {"THALWEG_IN": clicks_in, "THALWEG_OUT": out.address}
        with Process(EXAMPLES / "sessions.py", *flags, **addresses) as process:
            with connect(clicks_in) as peer:
                peer.sendall(
                    click("ann", "/b", 102.0)
                    + b"no click\n"
                    + click("ann", "/a", 100.0)  # Late, and not too late.
                    + click("bob", "/x", 110.0)
                    + click("ann", "/c", 131.9)
                    + b'{"user": "bob"}\n'
                    + click("bob", "/y", 145.0)  # Behind a pause: a session of its own.
                    + click("eve", "/", 200.0)
                )
                lines = sorted(out.line() for _ in range(3))
            code, said, err = process.interrupted()
    assert lines == ["ann 31.9s: /a /b /c", "bob 0s: /x", "bob 0s: /y"]
    assert (code, err) == (130, "stopped; 1 open window did not fire\n")
    refused = said.splitlines()
    assert len(refused) == 2 and refused[0].startswith("JSONDecodeError: ") and refused[0].endswith(" in b'no click'")
    assert refused[1] == """KeyError: 'page' in b'{"user": "bob"}'"""


@pytest.mark.parametrize("parallelism", ["1", "3"])
def test_sql_calls_python_and_python_calls_sql(parallelism: str) -> None:
    trades = [
        ("HF-1", "GOOD", 10.0, 100, 0.0),
        (None, "GOOD", 7.0, 0, 1.0),
        ("HF-2", "GOOD", 20.0, 300, 59.0),
        ("ann", "WIDE", 0.333, 3, 58.0),
        ("ann", "WIDE", 1.0, 1, 70.0),
    ]
    names = ("account", "symbol", "price", "quantity", "time")
    text_in = free_address()
    with Collector() as out:
        addresses = {"THALWEG_IN": text_in, "THALWEG_OUT": out.address}
        with Process(EXAMPLES / "sql_and_python.py", "--parallelism", parallelism, **addresses) as process:
            with connect(text_in) as peer:
                peer.sendall(b"".join(json.dumps(dict(zip(names, trade))).encode() + b"\n" for trade in trades))
                lines = {out.line() for _ in range(2)}
            code, _, err = process.interrupted()
    assert lines == {"00:00 GOOD fund: 7000.00 at 17.5000", "00:00 WIDE private: 1.00 at 0.3330"}
    assert code == 130, err


def quote(symbol: bytes, bid: float, offer: float) -> bytes:
    return struct.pack(">B4s21sdd", 2, symbol, TIME, bid, offer)


def order(name: bytes, symbol: bytes) -> bytes:
    return struct.pack(">BBI6s4sdd21s", 1, 0, 7, name, symbol, 100.0, 10.0, TIME)


def until_quoted(symbol: bytes, traders: socket, out: Collector, arrived: Callable[[list[str]], bool]) -> None:
    """Sends orders of a symbol until the answer shows that its quote has arrived: nothing orders two
    connections but that. The market of `NONE` is never known, so its orders always come back."""
    for round in range(10_000):
        mark = b"m%05d" % round
        send(traders, order(b"p%05d" % round, symbol), order(mark, b"NONE"))
        answer: list[str] = []
        while mark.decode() not in (line := out.line()):
            answer.append(line)
        if arrived(answer):
            return
    raise AssertionError(f"the quote of {symbol!r} does not arrive")


def test_orders_meet_the_market_that_the_other_pipeline_keeps() -> None:
    quotes, orders = free_address(), free_address()
    with Collector() as out:
        addresses = {"THALWEG_QUOTES": quotes, "THALWEG_ORDERS": orders, "THALWEG_OUT": out.address}
        with Process(EXAMPLES / "market_spread.py", **addresses) as process:
            with connect(quotes) as market, connect(orders) as traders:
                send(market, quote(b"GOOD", 10.0, 10.01), quote(b"WIDE", 10.0, 10.06), quote(b"ODD ", 0.1, 0.12))
                until_quoted(b"WIDE", traders, out, lambda lines: bool(lines) and lines[-1].endswith(" 10 10.06"))
                until_quoted(b"ODD ", traders, out, lambda lines: bool(lines) and lines[-1].endswith(" 0.1 0.12"))
                until_quoted(b"GOOD", traders, out, lambda lines: not lines)
                send(traders, *(order(name, symbol) for name, symbol in [
                    (b"o1    ", b"GOOD"), (b"o2    ", b"WIDE"), (b"o3    ", b"ODD "), (b"o4    ", b"NONE"),
                ]))
                lines = [out.line() for _ in range(3)]
            code, _, err = process.interrupted()
    assert (code, err) == (130, "stopped\n")
    assert lines == ["7 o2 WIDE 100 10 10.06", "7 o3 ODD 100 0.1 0.12", "7 o4 NONE 100 0 0"]


def test_a_frame_of_the_wrong_kind_ends_it_with_words() -> None:
    quotes, orders = free_address(), free_address()
    addresses = {"THALWEG_QUOTES": quotes, "THALWEG_ORDERS": orders, "THALWEG_OUT": free_address()}
    with Process(EXAMPLES / "market_spread.py", **addresses) as process:
        with connect(quotes) as market:
            send(market, b"\x09" + quote(b"GOOD", 1.0, 2.0)[1:])
            code, _, err = process.ended()
    assert code == 1
    assert "ValueError: the frame is of kind 9, not 2" in err and "'quotes'" in err, err


@pytest.mark.parametrize(
    ("name", "keeps"),
    [
        ("word_count", "state"),
        ("market_spread", "state"),
        ("sessions", "session-aggregate"),
        ("sql_and_python", "kind(account)"),
    ],
)
def test_the_topology_of_an_example_is_explained(name: str, keeps: str) -> None:
    code, said, err = run(EXAMPLES / f"{name}.py", "explain")
    assert (code, err) == (0, "")
    assert keeps in said and "tcp" in said, said


READINGS = """\
{"station": " oslo", "at": "2026-01-05T06:30:00Z", "heat": -4.26, "unit": "C"}
{"station": "MIAMI ", "at": "2026-01-05T07:00:00Z", "heat": 68, "unit": "F"}
{"station": "oslo", "at": "2026-01-05T08:30:00Z", "heat": 999, "unit": "C"}
{"station": "oslo", "at": "2026-01-05T23:30:00Z", "heat": null, "unit": null}
{"station": "miami", "at": "2026-01-05T23:59:59Z", "heat": 31.9, "unit": "F"}
"""
CLEAN = """\
{"station":"Oslo","hour":6,"celsius":-4.3,"frost":true}
{"station":"Miami","hour":7,"celsius":20.0,"frost":false}
{"station":"Miami","hour":23,"celsius":-0.1,"frost":true}
"""
PAYMENTS = """\
{"id": 1, "amount": 25.0, "hour": 14, "kilometres_from_home": 2.5}
{"id": 2, "amount": 980.0, "hour": 3, "kilometres_from_home": 700.0}
{"id": 3, "amount": 60.0, "hour": 19, "kilometres_from_home": 12.0}
{"id": 4, "amount": 640.0, "hour": 2, "kilometres_from_home": 1500.0}
"""
ALARMS = """\
{"id": 2, "amount": 980.0, "fraud": 0.85}
{"id": 4, "amount": 640.0, "fraud": 0.82}
"""


@pytest.mark.parametrize(
    ("name", "lines", "expected"), [("pandas_batches", READINGS, CLEAN), ("score_model", PAYMENTS, ALARMS)]
)
@pytest.mark.parametrize("batch_rows", ["1", "8192"])
def test_batches_become_the_same_however_large_they_are(
    tmp_path: Path, name: str, lines: str, expected: str, batch_rows: str
) -> None:
    given, out = tmp_path / "in.json", tmp_path / "out.json"
    given.write_text(lines)
    paths = {"THALWEG_IN": str(given), "THALWEG_OUT": str(out)}
    with Process(EXAMPLES / f"{name}.py", "--set", f"batch-rows-max={batch_rows}", **paths) as process:
        code, said, err = process.ended()
    assert (code, said, err) == (0, "", "")
    assert out.read_text() == expected
