"""docs/client.md: every block runs as it stands, and its table is the code's."""

from __future__ import annotations

import asyncio
import re
import runpy
import textwrap
from pathlib import Path
from typing import Any

import pytest

from client.listening import served
from dibs.client import Backlog, ClaimedFeature, SyncBacklog
from dibs_schema.operations import OPERATIONS

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PORT = "3427"


@pytest.mark.parametrize(
    "number", [number for number, block in enumerate(BLOCKS) if "def test_" not in block]
)
def test_a_block_runs_as_it_stands(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each program of the page succeeds in an empty folder, by URL with a server at the other end.

    What pytest runs is run in test_pytest_plugin.py.
    """
    monkeypatch.chdir(tmp_path)
    block = tmp_path / "block.py"
    block.write_text(BLOCKS[number], encoding="utf-8")
    if PORT in BLOCKS[number]:
        with served(str(tmp_path / "features.db")) as url:
            block.write_text(BLOCKS[number].replace(PORT, url.split(":")[2].split("/")[0]), encoding="utf-8")
            runpy.run_path(str(block), run_name="__main__")
        assert capfd.readouterr().out == f"{tmp_path / 'features.db'}\n"
    else:
        runpy.run_path(str(block), run_name="__main__")
        assert (tmp_path / ".dibs" / "features.db").exists()


def test_the_block_of_the_readme_builds_what_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a `build` of the harness's own it passes what it claims, with what that returned."""
    monkeypatch.chdir(tmp_path)
    readme = PAGE.parent.parent / "README.md"
    (block,) = re.findall(
        r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    program = f"async def main(Backlog, build):\n{textwrap.indent(block, '    ')}"
    there: dict[str, Any] = {}
    exec(compile(program, str(readme), "exec"), there)

    async def build(feature: ClaimedFeature) -> str:
        return f"built {feature.name}"

    with SyncBacklog.open() as backlog:
        backlog.create("core", "Sign in", "What it does.", ["Look."])
        asyncio.run(there["main"](Backlog, build))
        done = backlog.get(1)
    assert (done.status, done.evidence) == ("passing", {"summary": "built Sign in"})


def test_every_way_of_the_client_has_a_block() -> None:
    """There are blocks to run, and they show each way in, blocks, the journal and the fixtures."""
    shown = "\n".join(BLOCKS)
    for way in (
        "Backlog.open(",
        "SyncBacklog.start(",
        "Backlog.connect(",
        ".claim(",
        ".follow(",
        "dibs_backlog",
    ):
        assert way in shown


def test_the_table_of_methods_is_that_of_the_code() -> None:
    """Every method is on the page, with its tool."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(one.method, one.tool) for one in OPERATIONS]
