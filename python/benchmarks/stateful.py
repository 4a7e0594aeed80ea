"""A state computation, one record a call, beside a bare loop that calls the same functions.

    python python/benchmarks/stateful.py [LINES]

Both read the same file of numbers. The CPU time is that of the whole process, less that of one
that only starts.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

FUNCTIONS = """
def key(number): return number % 1000
class Sum:
    def __init__(self): self.sum = 0
def add(number, state):
    state.sum += number
    return None
"""

OURS = FUNCTIONS + """
import thalweg
application = thalweg.Application("sums")
numbers = application.source("numbers", connector="single_file", path={path!r}, decoder=int)
numbers.key_by(key).stateful("sums", add, state=Sum).discard()
thalweg.run(application, [])
"""

BARE = FUNCTIONS + """
sums = {{}}
with open({path!r}, "rb") as lines:
    for line in lines:
        number = int(line)
        of = key(number)
        state = sums.get(of)
        if state is None:
            state = sums[of] = Sum()
        add(number, state)
"""


def used(program: str, path: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program.format(path=path)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        path, one = str(Path(folder) / "numbers"), str(Path(folder) / "one")
        Path(path).write_text("".join(f"{number}\n" for number in range(count)))
        Path(one).write_text("1\n")
        for _ in range(3):
            ours, bare = (used(program, path) - used(program, one) for program in (OURS, BARE))
            print(f"ours {ours:.2f} s, bare {bare:.2f} s of CPU for {count:,} records; ratio {bare / ours:.2f}")


if __name__ == "__main__":
    main()
