"""The plugin, in real Claude Code: its own validation, what it costs, and a backlog that it drains."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it
import pytest

from e2e.backlog import Backlog
from e2e.clients import Claude, Place
from e2e.conftest import NewPlace
from e2e.model import Model
from e2e.running import play, run_program, running
from e2e.script import Call, Script, drain

ROOT = Path(__file__).parents[2]
ALLOWED = "mcp__plugin_dibs_features"
SESSIONS = ("56b70e9e-6e20-4567-9a44-068dc3d25123", "0c1d2e3f-6e20-4567-9a44-068dc3d25123")
MOST_TOKENS = 150
"""What the plugin may add to each session, by Claude Code's own count."""


class WithPlugin(Claude):
    """Claude Code with the plugin of this repository, and no other registration of the server."""

    def __init__(self, backlog: Backlog, *options: str) -> None:
        self._backlog = backlog
        self._options = options

    def register_by_hand(self, place: Place) -> None:
        """Install the plugin from the repository, as a user does."""
        for words in (["marketplace", "add", str(ROOT)], ["install", "dibs@dibs"]):
            self.plugin(place, *words)

    def plugin(self, place: Place, *words: str) -> str:
        """Run `claude plugin`, and return its output."""
        return run_program(self, place, "plugin", *words)

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Keep the user's settings, where the plugin stands, and allow its server."""
        file = place.home / ".claude" / "settings.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        environment = super().settle(place, url)
        settings = {**json.loads(file.read_text(encoding="utf-8")), **before, "permissions": {"allow": [ALLOWED]}}
        file.write_text(json.dumps(settings), encoding="utf-8")
        return environment | {"DIBS_DB": str(self._backlog.path)}

    def environment(self, place: Place, url: str) -> dict[str, str]:
        """Have `dibs` and `dibs-mcp` on PATH."""
        found = super().environment(place, url)
        return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"}

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        return [*super().command(prompt), *self._options]


@pytest.fixture
def place(new_place: NewPlace) -> Place:
    """A home and a project without a registration."""
    return new_place([])


def test_every_file_is_valid_and_it_costs_little(backlog: Backlog, place: Place) -> None:
    """The plugin and the marketplace pass Claude Code's validation, and the catalog's; the plugin adds few tokens."""
    client = WithPlugin(backlog)
    client.plugin(place, "validate", "--strict", str(ROOT))
    client.plugin(place, "validate", "--strict", "--profile", "directory", str(ROOT / "plugin"))
    client.register_by_hand(place)
    details = client.plugin(place, "details", "dibs")
    found = re.search(r"Always-on:\s+~(\d+) tok", details)
    assert found is not None, details
    assert int(found[1]) <= MOST_TOKENS


def test_the_work_command_drains_ten_features(backlog: Backlog, place: Place) -> None:
    """`/dibs:work` gives the model the skill's words, and the plugin's server its tools."""
    backlog.add_plain(10)
    with running(WithPlugin(backlog), place, drain("ada"), "/dibs:work") as run:
        run.finish()
    assert "Build features of the backlog of the MCP server" in run.model.turns[0].words
    assert set(backlog.statuses().values()) == {"passing"}
    assert backlog.claims() == 10


def hold(claimed: threading.Event, released: threading.Event) -> Script:
    """Claim a feature, and never end the turn."""
    yield Call("feature_claim_and_get")
    claimed.set()
    released.wait(timeout=120)


def claim(resume: bool = False) -> Script:
    """Claim once."""
    yield Call("feature_claim_and_get", {"resume": True} if resume else {})


def first_claim(model: Model) -> dict[str, Any]:
    """Return the feature of the first claim."""
    feature: dict[str, Any] = model.shown[0].data()["feature"]
    return feature


def test_a_killed_session_goes_on_with_its_own_claim(backlog: Backlog, place: Place, new_place: NewPlace) -> None:
    """Killed with its server and resumed, a session without an agent name gets its claim back; another one never."""
    backlog.add_plain(3)
    mine, other = SESSIONS
    claimed, released = threading.Event(), threading.Event()
    with running(WithPlugin(backlog, "--session-id", mine), place, hold(claimed, released)) as run:
        assert claimed.wait(timeout=90), "the client claimed nothing"
        servers = run.servers()
        run.kill(with_servers=True)
        released.set()
    assert psutil.wait_procs(servers, timeout=5)[1] == []
    between = play(WithPlugin(backlog, "--session-id", other), new_place([]), claim(resume=True))
    assert first_claim(between)["id"] == 2
    resumed = play(WithPlugin(backlog, "--resume", mine), place, claim(resume=True))
    assert first_claim(resumed)["id"] == 1
    assert "You have a claim on feature 1 in the backlog" in resumed.turns[0].words, "the hook reminds the agent"
