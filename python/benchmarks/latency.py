"""How late a rejection of the market spread is, beside a bare echo at the same rate.

    python python/benchmarks/latency.py [SECONDS]

Half of 20,000 messages a second are quotes, half are orders, each of which is rejected and comes back as a line. An
order counts from the moment when it was due to be sent, so a sender that falls behind makes it late too. The echo is
a loop in a process of its own that takes the same frames from one socket and sends a line for each order. Whoever sends
and receives is a loop in this process, which never sleeps.
"""

import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from word_count import connect, free_port

RATE = 20_000
SYMBOLS = [f"{letter}{number:03}".encode() for letter in "ABCDEFGH" for number in range(100)]
WARM_UP = 2.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "python" / "market_spread.py"

QUOTE = struct.Struct(">IB4s21sdd")
ORDER = struct.Struct(">IBBI6s4sdd21s")

ECHO = """
import os, socket, sys
def address(name):
    host, port = os.environ[name].split(":")
    return host, int(port)
listener = socket.create_server(address("THALWEG_ORDERS"))
taken, _ = listener.accept()
out = socket.create_connection(address("THALWEG_OUT"))
for peer in (taken, out):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
rest = b""
while piece := taken.recv(1 << 16):
    rest += piece
    at, lines = 0, []
    while len(rest) - at >= 4 and len(rest) - at - 4 >= (size := int.from_bytes(rest[at:at + 4], "big")):
        if rest[at + 4] == 1:
            lines.append(b"0 " + rest[at + 10:at + 16] + b"\\n")
        at += 4 + size
    rest = rest[at:]
    if lines:
        out.sendall(b"".join(lines))
"""


def quote(number: int) -> bytes:
    return QUOTE.pack(42, 2, SYMBOLS[number % len(SYMBOLS)], b"", 100.0, 120.0)


def order(number: int) -> bytes:
    # Six digits are enough: no more than a million are ever on their way.
    name = b"%06d" % (number % 1_000_000)
    return ORDER.pack(53, 1, 1, 7, name, SYMBOLS[number % len(SYMBOLS)], 10.0, 100.0, b"")


def measure(command: list[str], seconds: float, quotes_apart: bool) -> list[float]:
    """Seconds from when each order was due to when its line was here, in order of size."""
    listener = socket.create_server(("127.0.0.1", 0))
    addresses = {name: ("127.0.0.1", free_port()) for name in ("THALWEG_QUOTES", "THALWEG_ORDERS")}
    addresses["THALWEG_OUT"] = listener.getsockname()
    env = os.environ | {name: f"{host}:{port}" for name, (host, port) in addresses.items()}
    process = subprocess.Popen(command, env=env)
    try:
        orders = connect(addresses["THALWEG_ORDERS"], process)
        quotes = connect(addresses["THALWEG_QUOTES"], process) if quotes_apart else orders
        for peer in (orders, quotes):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Nobody connects to us before there is something to write.
        orders.sendall(order(0))
        lines, _ = listener.accept()
        return exchange(orders, quotes, lines, seconds)
    finally:
        process.kill()
        process.wait()


def exchange(orders: socket.socket, quotes: socket.socket, lines: socket.socket, seconds: float) -> list[float]:
    pairs = RATE // 2
    wanted = int((WARM_UP + seconds) * pairs)
    late, sent, rest = [], 1, b""
    assert lines.recv(1 << 16).endswith(b"\n"), "the first order"
    lines.setblocking(False)
    ready = selectors.DefaultSelector()
    ready.register(lines, selectors.EVENT_READ)
    start = time.perf_counter()
    back = 1
    while back < wanted:
        now = time.perf_counter()
        assert now < start + 10 * (WARM_UP + seconds), f"{back} lines of {wanted}"
        if sent < wanted and now >= start + sent / pairs:
            quotes.sendall(quote(sent))
            orders.sendall(order(sent))
            sent += 1
        if ready.select(0):
            rest += lines.recv(1 << 16)
            now = time.perf_counter()
            *whole, rest = rest.split(b"\n")
            for line in whole:
                number = int(line.split(b" ")[1])
                late.append((number, now - (start + number / pairs)))
            back += len(whole)
    return sorted(took for number, took in late if number >= WARM_UP * pairs)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    sides = {"market spread": ([sys.executable, str(EXAMPLE)], True), "bare echo": ([sys.executable, "-c", ECHO], False)}
    for _ in range(3):
        for side, (command, apart) in sides.items():
            late = measure(command, seconds, apart)
            shown = [f"p{share:g} {late[min(len(late) - 1, int(len(late) * share / 100))] * 1e3:.2f} ms" for share in (50, 99, 99.9)]
            print(f"{side}: {', '.join(shown)} of {len(late)} orders")


if __name__ == "__main__":
    main()
