"""Everything that `docs/python.md` and the README say in Python is run, and says what it says.

Blocks run in order, in one folder. A Python block that begins with `# NAME.py` is that file; all others are
run here, with one namespace for each section. In a console block what begins with `$` is run, and
what stands below it is what it prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Iterator

import pytest

from processes import PATIENCE, environment

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> Iterator[tuple[int, str, str, str]]:
    """The line, the section, the kind and the text of each block."""
    for found in BLOCK.finditer(text):
        before = text[: found.start()]
        sections = re.findall(r"^## (.*)$", before, re.MULTILINE)
        yield before.count("\n") + 2, sections[-1] if sections else "", found[1], found[2]


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run_blocks(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    path = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ["PATH"]])
    namespaces: dict[str, dict[str, Any]] = {}
    count = 0
    for line, section, kind, block in blocks(text):
        count += 1
        if kind == "console":
            for command, output in commands(block):
                done = subprocess.run(
                    command, shell=True, capture_output=True, text=True, timeout=PATIENCE, env=environment(PATH=path)
                )
                assert done.stdout + done.stderr == output, f"line {line}: $ {command}"
        elif name := re.match(r"# (\w+\.py)\n", block):
            (folder / name[1]).write_text(block)
        else:
            # So that an error shows the line in the document.
            code = compile("\n" * (line - 1) + block, "docs/python.md", "exec", dont_inherit=True)
            exec(code, namespaces.setdefault(section, {"__name__": "docs"}))
    return count


def test_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    assert run_blocks(text, tmp_path, monkeypatch) >= 10


def test_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    section = text[text.index("### Programs in Python") :].split("\n### ", 1)[0]
    assert run_blocks(section, tmp_path, monkeypatch) >= 2


def test_links_of_the_guide_lead_somewhere() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for target in re.findall(r"\]\(([^)]*)\)", text):
        name, _, anchor = target.partition("#")
        file = ROOT / "docs" / (name or "python.md")
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


def test_what_a_block_says_wrongly_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="line 2"):
        run_blocks("```console\n$ echo one\ntwo\n```\n", tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        run_blocks("```python\nassert 1 == 2\n```\n", tmp_path, monkeypatch)
