"""The shell blocks of the README and of the pages for users work unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INSTALLS = ("make ", "uv tool install ")
"""Lines that install the project; for this test it is installed already. `.ci/run` runs `make`."""


def script(page: Path) -> str:
    """Return the page's shell blocks in order, without the lines that install."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(INSTALLS))


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("[!i]*/*.md"))) if script(page).strip()]


@pytest.mark.timeout(250)  # a page has up to fifteen commands, each a process of its own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    """All blocks succeed in order, in a folder with a feature_list.json, or with a backlog for a how-to page."""
    begin = "dibs import feature_list.json\n" if page.parent.name == "how-to" else ""
    (tmp_path / "feature_list.json").write_text(json.dumps([{"id": 1, "name": "One"}]), encoding="utf-8")
    agent = tmp_path / "bin" / "claude"  # which needs an account; `make e2e` drives the real one
    agent.parent.mkdir()
    agent.write_text("#!/bin/sh\nexec dibs pass 1\n", encoding="utf-8")
    agent.chmod(0o755)
    path = os.pathsep.join([f"{agent.parent}", f"{Path(sys.executable).parent}", os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", begin + script(page)],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    if "dibs serve" in script(page):
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"jsonrpc"')]
        assert sorted(answer["id"] for answer in answers) == [1, 2]


def test_the_pages_that_show_the_first_steps_have_blocks() -> None:
    """The README, the start page and the command line's page are among the tested pages."""
    assert {"README.md", "quickstart.md", "cli.md", "import.md", "overnight.md"} <= {page.name for page in PAGES}
