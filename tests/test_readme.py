"""The README's commands work as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"

INSTALLS = ("make ",)
"""Lines that install the project first, which whoever runs this test has done; `.ci/run` runs both."""


def scripts() -> list[str]:
    """The README's shell blocks, without the lines that install."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    kept = [
        "".join(line for line in block.splitlines(keepends=True) if not line.startswith(INSTALLS))
        for block in blocks
    ]
    return [block for block in kept if block.strip()]


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.split()[0])
def test_a_block_runs_as_it_stands(script: str, tmp_path: Path) -> None:
    """Each block of shell commands succeeds in an empty folder with a feature_list.json."""
    (tmp_path / "feature_list.json").write_text(json.dumps([{"id": 1, "name": "One"}]), encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if "dibs serve" in script:
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(answer["id"] for answer in answers) == [1, 2]
