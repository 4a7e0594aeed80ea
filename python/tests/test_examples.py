"""The examples of `examples/python`, as processes that others talk to over TCP."""

from __future__ import annotations

import struct
from collections import Counter
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


@pytest.mark.parametrize("name", ["word_count", "market_spread"])
def test_the_topology_of_an_example_is_explained(name: str) -> None:
    code, said, err = run(EXAMPLES / f"{name}.py", "explain")
    assert (code, err) == (0, "")
    assert "state" in said and "tcp" in said, said
