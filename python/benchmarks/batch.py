"""A function of batches of 8,192 rows, beside plain Python that calls it with the same batches.

    python python/benchmarks/batch.py [ROWS]

Both sides read the same Parquet file in the same batches: ours by the engine's own reader, the plain one by
pyarrow, which also makes the batches. Both call the same function once for each, check nothing, and let its
result go: ours to the sink that writes nowhere, after the engine has checked its columns and types. So what is
compared is the whole way of a row, with all that the engine adds, and not the call alone.

The CPU time is that of the whole process and all its threads, less that of one that does the same with a
single row: what it takes to start Python and to import pyarrow and numpy counts for neither. numpy multiplies
matrices on one thread, for others would turn in a loop while they wait. There are two functions: `score` is a
model of four columns, as batches are made for; `double` is one multiplication, of which so little is work that it
shows what the rest costs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

BATCH_ROWS = 8192
ROUNDS = 3

FUNCTIONS = """
import numpy
import pyarrow
import pyarrow.compute as compute
calls = []
WEIGHTS = numpy.array([0.3, -1.2, 0.7, 2.1])
def score(batch):
    calls.append(batch.num_rows)
    columns = numpy.column_stack([batch[name].to_numpy() for name in ("a", "b", "c", "d")])
    chance = 1.0 / (1.0 + numpy.exp(-(columns @ WEIGHTS) - 0.5))
    return pyarrow.record_batch({{"id": batch["id"], "result": chance}})
def double(batch):
    calls.append(batch.num_rows)
    return pyarrow.record_batch({{"id": batch["id"], "result": compute.multiply(batch["a"], 2.0)}})
"""

OURS = FUNCTIONS + """
import thalweg
application = thalweg.Application("batches")
columns = dict(id="BIGINT", a="DOUBLE", b="DOUBLE", c="DOUBLE", d="DOUBLE")
rows = application.table("in", columns, connector="filesystem", type="source", path={path!r}, format="parquet")
scored = rows.map_batches({function}, dict(id="BIGINT", result="DOUBLE"))
scored.sink_rows("out", connector="blackhole")
thalweg.run(application, [])
"""

PLAIN = FUNCTIONS + """
import pyarrow.parquet
for batch in pyarrow.parquet.ParquetFile({path!r}).iter_batches(batch_size={batch_rows}):
    {function}(batch)
"""

TELL = """
import json
print(json.dumps([len(calls), sum(calls)]))
"""


def used(program: str, **values: object) -> tuple[float, list[int]]:
    """CPU seconds, and the numbers of calls and rows."""
    text = (program + TELL).format(batch_rows=BATCH_ROWS, **values)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command, environment = [sys.executable, "-c", text], {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, json.loads(done.stdout.splitlines()[-1])


def write(path: Path, rows: int) -> str:
    random = numpy.random.default_rng(1)
    columns = {name: random.standard_normal(rows) for name in ("a", "b", "c", "d")}
    table = pyarrow.table({"id": numpy.arange(rows), **columns})
    # Row groups of whole batches: neither reader has to join or to cut any.
    pyarrow.parquet.write_table(table, path, row_group_size=16 * BATCH_ROWS)
    return str(path)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000 * BATCH_ROWS
    with tempfile.TemporaryDirectory() as folder:
        many, one = write(Path(folder) / "many.parquet", rows), write(Path(folder) / "one.parquet", 1)
        for function in ("score", "double"):
            for _ in range(ROUNDS):
                seconds, calls = [], []
                for program in (OURS, PLAIN):
                    took, made = used(program, path=many, function=function)
                    seconds.append(took - used(program, path=one, function=function)[0])
                    calls.append(made)
                assert calls[0][1] == calls[1][1] == rows, calls
                ours, plain = (rows / took / 1e6 for took in seconds)
                print(
                    f"{function}: ours {ours:.1f} M rows per CPU second in {calls[0][0]} batches, "
                    f"plain {plain:.1f} M in {calls[1][0]}; ratio {ours / plain:.2f}"
                )


if __name__ == "__main__":
    main()
