"""The Python blocks of the pages run unchanged, in real processes if they handle signals."""

from __future__ import annotations

import asyncio
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from client.listening import served
from dibs.client import Backlog, ClaimedFeature, SyncBacklog

ROOT = Path(__file__).parents[2]


def python_blocks(page: str) -> list[str]:
    """The page's Python blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


CLIENT = python_blocks("docs/reference/client.md")
ORCHESTRATORS = [one for one in python_blocks("docs/how-to/orchestrator.md") if "COMMAND" in one]
(TIMEOUTS,) = (one for one in python_blocks("docs/how-to/orchestrator.md") if "COMMAND" not in one)
BLOCKS = [*CLIENT, *python_blocks("docs/how-to/pytest.md")]
PORT = "3427"


@pytest.mark.parametrize("number", range(len(CLIENT)))
def test_a_block_about_the_client_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each program succeeds in an empty folder, by URL with a server at the other end."""
    monkeypatch.chdir(tmp_path)
    block = tmp_path / "block.py"
    block.write_text(CLIENT[number], encoding="utf-8")
    if PORT in CLIENT[number]:
        with served(str(tmp_path / "features.db")) as url:
            block.write_text(CLIENT[number].replace(PORT, url.split(":")[2].split("/")[0]), encoding="utf-8")
            runpy.run_path(str(block), run_name="__main__")
        assert capfd.readouterr().out == f"{tmp_path / 'features.db'}\n"
    else:
        runpy.run_path(str(block), run_name="__main__")
        assert (tmp_path / ".dibs" / "features.db").exists()


@pytest.mark.parametrize("number", range(len(ORCHESTRATORS)))
def test_an_orchestrator_builds_what_is_ready_and_ends(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program of the page passes every feature with its agent's output as evidence, and exits with 0."""
    monkeypatch.chdir(tmp_path)
    with SyncBacklog.open() as backlog:
        first = backlog.create("core", "Sign in", "Signs in.", ["Look."]).ids[0]
        backlog.create("core", "Sign out", "Signs out.", ["Look."], dependencies=[first])
        program = tmp_path / "orchestrator.py"
        program.write_text(ORCHESTRATORS[number], encoding="utf-8")
        done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, timeout=90)
        assert (done.returncode, done.stderr) == (0, "")
        assert "complete" in done.stdout
        for feature in (1, 2):
            assert "Signs" in str(backlog.get(feature).evidence)


def test_the_block_about_timeouts_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each place of the timeout has the effect that its comment tells."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block.py").write_text(TIMEOUTS, encoding="utf-8")
    runpy.run_path(str(tmp_path / "block.py"), run_name="__main__")
    told = re.findall(r"last_failure\)  # (.*)", TIMEOUTS)
    assert capfd.readouterr().out.splitlines() == ["None", *told[1:]]


def test_the_block_of_the_readme_builds_what_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another `build`, each claimed feature passes with the evidence that `build` returns."""
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks("README.md")
    program = f"async def main(Backlog, build):\n{textwrap.indent(block, '    ')}"
    there: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), there)

    async def build(feature: ClaimedFeature) -> str:
        return f"built {feature.name}"

    with SyncBacklog.open() as backlog:
        backlog.create("core", "Sign in", "What it does.", ["Look."])
        asyncio.run(there["main"](Backlog, build))
        done = backlog.get(1)
    assert (done.status, done.evidence) == ("passing", {"summary": "built Sign in"})


def test_every_way_of_the_client_has_a_block() -> None:
    """There are blocks to run, and they show each way to connect, claims, events and the fixtures."""
    shown = "\n".join(BLOCKS)
    ways = ("Backlog.open(", "SyncBacklog.start(", "Backlog.connect(", ".claim(", ".follow(", "dibs_backlog")
    assert [way for way in ways if way not in shown] == []
    assert len(ORCHESTRATORS) == 2
