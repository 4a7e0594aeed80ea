"""Processes under test, what is sent to them, and what they send out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Callable

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"

# Nothing here takes longer, on however busy a machine.
PATIENCE = 60.0

_ports = iter(range(32_000 + os.getpid() % 500, 32_700))


def free_address() -> str:
    """An address that nobody listens on.

    Not one of those that the system gives to whoever connects: who tries again and again to reach such
    a port, before anybody listens there, at last meets himself.
    """
    for port in _ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{port}"
    raise AssertionError("no port is free")


def environment(**more: str) -> dict[str, str]:
    """That of this process, without what would steer the engine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")} | more


class Process:
    """A Python program, killed where its `with` ends."""

    def __init__(self, *arguments: str | Path, folder: Path | None = None, **more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        # Whoever has its output and lives on is a fault, not a reason to wait for ever.
        self.process.communicate(timeout=PATIENCE)

    def ended(self) -> tuple[int, str, str]:
        """Its exit code and what it said, when it has ended."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def interrupted(self) -> tuple[int, str, str]:
        """The same, after a Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()


def run(*arguments: str | Path, folder: Path | None = None) -> tuple[int, str, str]:
    """Runs a program to its end."""
    with Process(*arguments, folder=folder) as process:
        return process.ended()


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something to become so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        time.sleep(0.02)


def connect(address: str) -> socket.socket:
    """Connects to somebody who may not listen yet."""
    host, port = address.split(":")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((host, int(port)))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nobody listens on {address}"
            time.sleep(0.02)


def send(peer: socket.socket, *payloads: bytes) -> None:
    """Sends frames: a length of four bytes, and so many bytes."""
    peer.sendall(b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads))


class Collector:
    """Takes lines from whoever connects first."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError:
            return
        with stream, stream.makefile() as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """The next line."""
        try:
            return self._lines.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError("no further line comes") from None

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.close()
