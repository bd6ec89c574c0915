"""`dibs init` in a repository of a stranger runs none of its code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dibs.registration.clients import CLIENTS
from dibs.registration.server_check import Launch

EVIL = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.mark.parametrize("flags", [(), ("--yes",)])
def test_a_configuration_passes_on_settings_of_dibs_alone(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """PYTHONPATH of `.mcp.json`, and a package `dibs` in the repository's root, are not used by the check."""
    evil = tmp_path / "evil"
    for folder in (evil, tmp_path / "dibs"):
        folder.mkdir()
        (folder / ("sitecustomize.py" if folder == evil else "__init__.py")).write_text(EVIL)
    (tmp_path / "dibs" / "__main__.py").write_text("")
    (tmp_path / ".git").mkdir()
    variables = {"PYTHONPATH": str(evil), "LD_PRELOAD": str(evil / "it.so"), "DIBS_PROJECT": "theirs"}
    variables |= {"DIBS_DB": "${DIBS_DB:-}", "DIBS_ROLE": "${DIBS_ROLE:-all}"}  # so there is nothing to write
    # Without `dibs-mcp` on PATH, the command is this Python with -m.
    entry = {"command": sys.executable, "args": ["-m", "dibs", "serve"], "env": variables}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"features": entry}}))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dibs", "init", "claude", *flags],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert not list(tmp_path.rglob("ran"))
    assert done.returncode == 0, done.stderr
    assert "the server answers: version" in done.stdout
    assert "project theirs" in done.stdout


def test_an_environment_that_is_no_object_of_strings_is_read_as_far_as_it_is() -> None:
    """No value of a configuration ends in a traceback."""
    strings_and_others = {"DIBS_DB": 5, "DIBS_ROLE": None, "DIBS_PROJECT": "p", "HOME": "/x"}
    environments: list[object] = [[], "x", None, strings_and_others]
    for given in environments:
        launch = Launch.of(CLIENTS["claude"], {"command": "dibs-mcp", "env": given})
        assert launch.variables == ((("DIBS_PROJECT", "p"),) if isinstance(given, dict) else ())
