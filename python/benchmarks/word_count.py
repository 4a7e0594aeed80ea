"""Words per CPU second of a word count over TCP, beside Bytewax: the same functions, the same text.

    pip install bytewax==0.21.1
    python python/benchmarks/word_count.py [FRAMES]

The feeder and the collector are threads of this process; what is measured is the CPU time, user and
system, of the other one between the first frame and the last line. A bare loop that calls the
functions and does nothing else says how much of that is theirs.
"""

import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from functions import count as count_word
from functions import encode, partition, split

WORDS = 10
VOCABULARY = [f"{letter}{number}" for letter in "abcdefghijklmnopqrstuvwxyz0" for number in range(100)]
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu(pid: int) -> float:
    """CPU seconds of a process and of those that it has forked, which live."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    forked = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(cpu(int(child)) for child in forked)


def frames(count: int) -> bytes:
    choose = random.Random(7).choices
    texts = [" ".join(choose(VOCABULARY, k=WORDS)).encode() for _ in range(1000)]
    block = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    return block * (count // 1000)


def connect(address: tuple[str, int], process: subprocess.Popen) -> socket.socket:
    for _ in range(600):
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            assert process.poll() is None, "it ended before it listened"
            time.sleep(0.05)
    raise TimeoutError("nobody listens")


def measure(script: str, count: int) -> tuple[float, float]:
    """CPU seconds, and seconds, for so many frames."""
    out = socket.create_server(("127.0.0.1", 0))
    there, here = ("127.0.0.1", free_port()), out.getsockname()
    env = os.environ | {"IN": f"127.0.0.1:{there[1]}", "OUT": f"127.0.0.1:{here[1]}"}
    process = subprocess.Popen([sys.executable, str(Path(__file__).parent / script)], env=env)
    try:
        feed = connect(there, process)
        data = frames(count)
        before, start = cpu(process.pid), time.perf_counter()
        feeder = threading.Thread(target=feed.sendall, args=(data,))
        feeder.start()
        collected, lines = out.accept()[0], 0
        while lines < count * WORDS:
            piece = collected.recv(1 << 20)
            assert piece, f"{lines} lines, not {count * WORDS}"
            lines += piece.count(b"\n")
        took, used = time.perf_counter() - start, cpu(process.pid) - before
        feeder.join()
        return used, took
    finally:
        process.kill()
        process.wait()


def bare(count: int) -> float:
    """CPU seconds of the functions alone."""
    choose = random.Random(7).choices
    texts = [" ".join(choose(VOCABULARY, k=WORDS)) for _ in range(1000)]
    totals: dict[str, dict] = {}
    before = time.thread_time()
    for _ in range(count // 1000):
        for text in texts:
            for word in split(text):
                encode(count_word(word, totals.setdefault(partition(word), {})))
    return time.thread_time() - before


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sides = {"ours": "ours.py", "bytewax": "peer.py"}
    for _ in range(3):
        rates = {}
        for side, script in sides.items():
            used, took = measure(script, count)
            rates[side] = count * WORDS / used
            print(f"{side}: {rates[side]:,.0f} words per CPU second, {count * WORDS / took:,.0f} a second")
        print(f"bare: {count * WORDS / bare(count):,.0f} words per CPU second")
        print(f"ratio {rates['ours'] / rates['bytewax']:.2f}")


if __name__ == "__main__":
    main()
