"""Notebooks: the example is run, and what ends a process elsewhere leaves the kernel alive."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Iterator

import nbformat
import pytest
from jupyter_client import KernelManager
from jupyter_client.blocking.client import BlockingKernelClient
from nbclient import NotebookClient

from processes import EXAMPLES, PATIENCE, environment

NUMBERS = """
import thalweg

def numbers(function, **options):
    app = thalweg.Application("numbers")
    numbers = app.source("numbers", connector="single_file", path="numbers.txt", decoder=int)
    numbers.map(function, **options).sink("out", connector="single_file", path="out.txt", encoder=str)
    return app
"""


class Kernel:
    """What a notebook talks to."""

    def __init__(self, manager: KernelManager, folder: Path) -> None:
        self.manager = manager
        # Kernels that are tested by pytest themselves let through what is written past Python.
        own = {name: value for name, value in environment().items() if name != "PYTEST_CURRENT_TEST"}
        self.manager.start_kernel(cwd=str(folder), env=own)
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def started(self, cell: str) -> str:
        """Starts a cell, and answers once it is running."""
        # A cell that fails is no reason not to run the next.
        return self.client.execute(cell, stop_on_error=False)

    def answer(self, cell: str) -> dict[str, Any]:
        """The answer to a cell that was started."""
        deadline = time.monotonic() + PATIENCE
        while True:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            if reply["parent_header"]["msg_id"] == cell:
                content: dict[str, Any] = reply["content"]
                return content

    def run(self, cell: str) -> dict[str, Any]:
        return self.answer(self.started(cell))

    def says(self, expression: str) -> str:
        """An expression's value, as text."""
        message = self.client.execute("", user_expressions={"it": expression})
        it: dict[str, Any] = self.answer(message)["user_expressions"]["it"]
        return str(it["data"]["text/plain"])

    def wrote(self) -> str:
        """What cells wrote to standard output and error so far."""
        text = ""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=0.5)
            except Exception:  # An empty queue of a class that is nobody's.
                return text
            if message["msg_type"] == "stream":
                text += message["content"]["text"]


@pytest.fixture
def manager() -> Iterator[KernelManager]:
    # Names of sockets are short.
    with TemporaryDirectory(prefix="kernel-") as folder:
        manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/socket")
        yield manager
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(manager: KernelManager, tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(manager, tmp_path)
    yield kernel
    kernel.client.stop_channels()


def test_the_example_counts_words(manager: KernelManager) -> None:
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "outputs are for those who run it"
    NotebookClient(notebook, timeout=int(PATIENCE), km=manager).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    tried, ran = outputs[-2], outputs[-1]
    assert tried["data"]["text/plain"].startswith("[b'to => 1', b'be => 1'")
    assert ran["text"] == "the => 1\npool => 1\nand => 1\nthe => 2\nriver => 1\n\n"


def test_a_job_that_fails_is_an_exception(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n0\n")
    assert kernel.run(NUMBERS)["status"] == "ok"
    reply = kernel.run("thalweg.run(numbers(lambda n: 1 // n), [])")
    assert (reply["status"], reply["ename"]) == ("error", "EngineError")
    assert "map '<lambda>' raised ZeroDivisionError: integer division or modulo by zero" in reply["evalue"]
    assert "the record was 0" in reply["evalue"] and "numbers(lambda n: 1 // n)" in reply["evalue"], reply["evalue"]
    kernel.run("import sys\nfailure = sys.last_value")
    assert kernel.says("failure.code") == "'function-failed'"
    assert "raised ZeroDivisionError" in kernel.says("failure.what")
    assert "raised" not in kernel.wrote().replace("error", ""), "said once, by the exception"
    # Mended, in the same kernel.
    assert kernel.run("thalweg.run(numbers(lambda n: n + 1), [])")["status"] == "ok"
    assert (tmp_path / "out.txt").read_text() == "2\n1\n"


def test_what_is_refused_is_an_exception(kernel: Kernel) -> None:
    kernel.run("import thalweg")
    reply = kernel.run("thalweg.run(thalweg.Application('empty'), [])")
    assert reply["ename"] == "EngineError" and "'empty' has no source" in reply["evalue"], reply
    reply = kernel.run("thalweg.run(thalweg.Application('empty'), ['--fly'])")
    assert reply["ename"] == "EngineError", reply
    assert "unexpected argument '--fly'" in reply["evalue"], reply
    assert kernel.says("6 * 7") == "42"


def test_what_is_left_out_is_told_in_the_notebook(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n0\n0\n2\n")
    kernel.run(NUMBERS)
    # The flags of the kernel's own process are not the program's.
    reply = kernel.run("thalweg.run(numbers(lambda n: 4 // n, on_error='skip'))")
    assert reply["status"] == "ok", reply
    assert (tmp_path / "out.txt").read_text() == "4\n2\n"
    said = kernel.wrote()
    assert "warning: map '<lambda>' left out a record: ZeroDivisionError" in said, said
    assert said.endswith("2 records were left out by map '<lambda>'\n"), said


def test_two_jobs_at_once_leave_standard_error_as_it_was(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("".join(f"{number}\n" for number in range(1000)))
    kernel.run(NUMBERS)
    reply = kernel.run("""
import os, threading
both, ended = threading.Barrier(2), []

def meet(number):
    if number == 0:
        both.wait(60)
    return number

def work(function):
    try:
        thalweg.run(numbers(function), [])
        ended.append("well")
    except thalweg.EngineError:
        ended.append("ill")

threads = [threading.Thread(target=work, args=(function,)) for function in (meet, lambda n: 1 // (meet(n) - 5))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
os.write(2, b"still heard")
""")
    assert reply["status"] == "ok", reply
    assert kernel.says("sorted(ended)") == "['ill', 'well']"
    assert kernel.wrote().endswith("still heard")


def test_an_interrupted_cell_stops_its_job(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("import thalweg")
    kernel.run("""
from pathlib import Path
app = thalweg.Application("endless")
endless = app.sql("CREATE TABLE n WITH (connector = 'impulse', event_rate = '1000'); SELECT counter FROM n")

def encode(row):
    Path("running").touch()
    return str(row["counter"])

endless.sink("out", connector="single_file", path="out.txt", encoder=encode)
""")
    cell = kernel.started("thalweg.run(app, [])")
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "running").exists():
        assert time.monotonic() < deadline, "the job does not begin"
        time.sleep(0.02)
    kernel.manager.interrupt_kernel()
    reply = kernel.answer(cell)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt"), reply
    assert "stopped" in kernel.wrote()
    assert kernel.says("6 * 7") == "42"
    # Python has its signals again.
    cell = kernel.started("import time\nwhile True: time.sleep(0.01)")
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    assert kernel.answer(cell)["ename"] == "KeyboardInterrupt"


def test_a_prompt_lives_on(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n0\n")
    (tmp_path / "app.py").write_text(NUMBERS)
    lines = "thalweg.run(numbers(lambda n: 1 // n))\nprint('alive')\nthalweg.run(numbers(str))\n"
    command = [sys.executable, "-i", "app.py", "--fly"]
    done = subprocess.run(command, input=lines, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
    assert "thalweg.EngineError: error[function-failed]: map '<lambda>' raised ZeroDivisionError" in done.stderr
    assert (tmp_path / "out.txt").read_text() == "1\n0\n"


def test_an_error_at_a_prompt_has_its_parts(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("0\n")
    (tmp_path / "app.py").write_text(NUMBERS)
    tried = "try: thalweg.run(numbers(lambda n: 1 // n), {arguments})\nexcept thalweg.EngineError as e: print([e.code, e.what, e.why])\n\n"
    lines = tried.format(arguments=[]) + tried.format(arguments=["--fly"])
    command = [sys.executable, "-i", "app.py"]
    done = subprocess.run(command, input=lines, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    failed, misused = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    assert failed[:2] == ["function-failed", "map '<lambda>' raised ZeroDivisionError: integer division or modulo by zero"]
    assert failed[2].startswith("Traceback (most recent call last):\n  File ") and failed[2].endswith("\nthe record was 0"), failed[2]
    assert misused == ["usage", "unexpected argument '--fly' found", None]
