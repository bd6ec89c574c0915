"""The plugin's forms for Codex and Gemini CLI, installed in the real programs by their own commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it
import pytest

from e2e.backlog import Backlog
from e2e.clients import Codex, Gemini, Place
from e2e.conftest import NewPlace
from e2e.fetching import BIN
from e2e.running import PATIENCE, play, run_program, running
from e2e.script import Call, Script, drain
from e2e.test_plugin import hold

TRIES = 5
"""Gemini CLI waits for a server for a few seconds only, which a busy machine may need."""
ROOT = Path(__file__).parents[2]


class WithPlugin(Codex):
    """Codex with the plugin of this repository, its hooks by hand, and no other registration of the server."""

    def __init__(self, *resume: str) -> None:
        self._resume = resume

    def register_by_hand(self, place: Place) -> None:
        """Install the plugin from the repository, as a user does."""
        home = place.home / ".codex"
        if home.exists():
            return
        home.mkdir()
        environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(place.home)}
        for words in (["marketplace", "add", str(ROOT)], ["add", "dibs@dibs"]):
            subprocess.run(["codex", "plugin", *words], env=environment, check=True, timeout=PATIENCE)
        shutil.copy(
            ROOT / "plugin" / "hooks" / "hooks.json", home
        )  # Codex takes none of a plugin with a portable manifest

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Keep what an earlier run has settled: a session is resumed with the same provider."""
        config = place.home / ".codex" / "config.toml"
        text = config.read_text(encoding="utf-8") if config.exists() else ""
        if "scripted" in text:
            config.write_text(text[text.index("[marketplaces") :], encoding="utf-8")
        return super().settle(place, url)

    def environment(self, place: Place, url: str) -> dict[str, str]:
        """Have `dibs` and `dibs-mcp` on PATH."""
        found = super().environment(place, url)
        return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"}

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        head, rest = ["codex", "exec"], ["--json", "--skip-git-repo-check", prompt]
        if self._resume:
            rest = ["resume", *self._resume, *rest]
        return [*head, "--dangerously-bypass-hook-trust", *rest]


class WithExtension(Gemini):
    """Gemini CLI with `dibs` and `dibs-mcp` on PATH, and nothing that is registered by hand."""

    def register_by_hand(self, place: Place) -> None:
        """Register nothing."""

    def environment(self, place: Place, url: str) -> dict[str, str]:
        """See WithPlugin."""
        found = super().environment(place, url)
        return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"}


@pytest.fixture
def place(new_place: NewPlace) -> Place:
    """A home and a project without a registration."""
    return new_place([])


def in_project(place: Place) -> Backlog:
    """The backlog of the project's folder."""
    backlog = Backlog(place.project / ".dibs" / "features.db")
    backlog.path.parent.mkdir()
    backlog.add_plain(10)
    return backlog


def test_codex_serves_the_backlog_of_the_folder_in_which_it_works(place: Place) -> None:
    """Codex starts the plugin's server in the plugin's folder, and the server serves the project all the same."""
    backlog = in_project(place)
    play(WithPlugin(), place, drain("ada"))
    assert set(backlog.statuses().values()) == {"passing"}


def claim_when_connected() -> Script:
    """Resume or claim once the server is there: Codex waits for no server of a plugin, and has no tools until it is up."""
    for _ in range(60):
        shown = yield Call("feature_claim_and_get", {"resume": True})
        if "{" in shown.text:
            return
        time.sleep(0.5)


def test_a_killed_session_of_codex_goes_on_with_its_own_claim(place: Place) -> None:
    """Killed with its server and resumed, a session without an agent name gets its claim back; another one never."""
    backlog = in_project(place)
    claimed, released = threading.Event(), threading.Event()
    with running(WithPlugin(), place, hold(claimed, released)) as run:
        assert claimed.wait(timeout=90), "the client claimed nothing"
        (events,) = (place.home / ".codex" / "sessions").rglob("*.jsonl")
        mine = events.stem[-36:]
        servers = run.servers()
        run.kill(with_servers=True)
        released.set()
    assert psutil.wait_procs(servers, timeout=5)[1] == []
    between = play(WithPlugin(), place, claim_when_connected())
    assert between.shown[-1].data()["feature"]["id"] == 2
    resumed = play(WithPlugin(mine), place, claim_when_connected())
    assert resumed.shown[-1].data()["feature"]["id"] == 1
    assert "You have a claim on feature 1 in the backlog" in resumed.turns[0].words, "the hook reminds the agent"
    assert backlog.claims() >= 2


def test_gemini_cli_installs_the_extension_that_is_made_of_the_plugin(place: Place, tmp_path: Path) -> None:
    """Its own commands accept it and report nothing, its server answers, and it has the plugin's skills."""
    extension = tmp_path / "extension"
    subprocess.run(
        [sys.executable, str(ROOT / "docs" / "publishing" / "gemini_extension.py"), str(extension)], check=True
    )
    client = WithExtension()
    assert "successfully validated" in run_program(client, place, "extensions", "validate", str(extension))
    installed = run_program(client, place, "extensions", "install", "--consent", "--skip-settings", str(extension))
    assert "installed successfully" in installed
    assert "Error" not in installed
    listed = run_program(client, place, "extensions", "list")
    assert all(f"  {skill.name}: " in listed for skill in (ROOT / "plugin" / "skills").iterdir())
    assert any("✓ features (from dibs)" in run_program(client, place, "mcp", "list") for _ in range(TRIES))
