"""`dibs hook`, started by the commands of the plugin's configuration with the JSON that Claude Code sends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dibs.client import SyncBacklog
from dibs.rules.holder_names import name_of
from dibs_proof.raw_client import OPENING
from dibs_schema.answers import Claimed
from dibs_schema.inputs import NewFeature
from races.servers import ServerClient, command_on

HOOKS = Path(__file__).parents[2] / "plugin" / "hooks" / "hooks.json"
SESSION = "56b70e9e-6e20-4567-9a44-068dc3d25123"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository without a commit, as the current folder."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def backlog(project: Path) -> Iterator[SyncBacklog]:
    """The project's backlog with two features."""
    with SyncBacklog.open() as opened:
        assert opened.stats().database == str(project / ".dibs" / "features.db")
        opened.create_many(
            [
                NewFeature(category="core", name=name, description="d", steps=["s"])
                for name in ("secret name", "another")
            ]
        )
        yield opened


def run(project: Path, command: str, given: object, agent: str = "ada", role: str = "") -> str:
    """Run a hook's command, and return its output. It never fails."""
    done = subprocess.run(
        ["sh", "-c", command],
        input=given if isinstance(given, str) else json.dumps(given),
        env=os.environ | {"CLAUDE_PROJECT_DIR": str(project), "DIBS_AGENT": agent, "DIBS_ROLE": role},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def fire(project: Path, event: str, agent: str = "ada", role: str = "", **fields: str) -> str:
    """Run the hook that the plugin configures for an event."""
    (group,) = json.loads(HOOKS.read_text(encoding="utf-8"))["hooks"][event]
    assert "source" not in fields or re.fullmatch(group["matcher"], fields["source"])
    (hook,) = group["hooks"]
    given = {"session_id": SESSION, "transcript_path": "/t", "cwd": str(project), "hook_event_name": event}
    return run(project, hook["command"], given | fields, agent, role)


def reminder(printed: str) -> str:
    """Return the text that Claude Code adds to the agent's context."""
    answer: dict[str, Any] = json.loads(printed)
    (specific,) = answer.values()
    assert answer.keys() == {"hookSpecificOutput"}
    assert specific.pop("hookEventName") == "SessionStart"
    words: str = specific.pop("additionalContext")
    assert specific == {}
    return words


def notes_of(backlog: SyncBacklog, feature: int) -> list[str]:
    """Return the notes on a feature."""
    return [one.text for one in backlog.get(feature).notes]


def test_a_compacted_session_finds_its_claim_again(project: Path, backlog: SyncBacklog) -> None:
    """After a compaction the context names the claimed feature, and the call that it names resumes it."""
    claimed = backlog.take(agent="ada")
    assert isinstance(claimed, Claimed)
    words = reminder(fire(project, "SessionStart", source="compact"))
    assert "feature 1 " in words
    assert "feature_claim_and_get with feature_id=1 and resume=true" in words
    assert "secret name" not in words, "what agents write is data, and never in what orders an agent"
    again = backlog.take(1, agent="ada", resume=True)
    assert isinstance(again, Claimed)
    assert (again.feature.id, again.claim.token != claimed.claim.token) == (1, True)
    assert fire(project, "SessionStart", agent="bob", source="startup") == ""


def test_a_session_that_ends_gives_its_claim_back(project: Path, backlog: SyncBacklog) -> None:
    """The end of a session and /clear release its claims alone; a resumed session learns of it."""
    backlog.take(agent="ada")
    backlog.take(agent="bob")
    assert fire(project, "SessionEnd", reason="clear") == ""
    assert (backlog.get(1).status, backlog.get(2).status) == ("pending", "in_progress")
    assert "claim it by its feature_id" in reminder(fire(project, "SessionStart", source="resume"))


def test_a_claim_that_was_made_for_the_agent_is_not_given_back(
    project: Path, backlog: SyncBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DIBS_CLAIM, somebody waits for the agent's end to end its claim; the hooks leave it, and --check lets it stop."""
    claimed = backlog.take(agent="ada")
    assert isinstance(claimed, Claimed)
    monkeypatch.setenv("DIBS_CLAIM", claimed.claim.token)
    assert fire(project, "SessionEnd", reason="clear") == ""
    assert run(project, "dibs hook stop --check", {"session_id": SESSION}) == ""
    assert (backlog.get(1).status, notes_of(backlog, 1)) == ("in_progress", [])


@pytest.mark.parametrize("role", ["coder", "tester"])
def test_a_session_of_any_role_gives_its_claim_back(role: str, project: Path, backlog: SyncBacklog) -> None:
    """The hook releases a claim without its token, which its agent may not do."""
    backlog.take(agent="ada")
    assert "feature 1 " in reminder(fire(project, "SessionStart", role=role, source="compact"))
    assert fire(project, "SessionEnd", role=role, reason="logout") == ""
    assert backlog.get(1).status == "pending"


@pytest.mark.parametrize("role", ["all", "tester"])
def test_a_session_without_a_name_is_known_by_its_id(project: Path, backlog: SyncBacklog, role: str) -> None:
    """The server and the hook derive the same name, and the call of the reminder returns the claim."""
    passed = backlog.take(agent="ada")
    assert isinstance(passed, Claimed)
    backlog.mark_passing(1, claim_token=passed.claim.token)
    opening = deepcopy(OPENING)
    opening[0]["params"]["clientInfo"]["name"] = "claude-code"
    environment = {"CLAUDE_CODE_SESSION_ID": SESSION, "CLAUDE_PROJECT_DIR": str(project), "DIBS_ROLE": role}
    file = str(project / ".dibs" / "features.db")
    with closing(ServerClient(command_on(file), environment, opening)) as server:
        if role == "tester":
            claimed = server.call("feature_mark_failing", feature_id=1, reason="it broke", keep=True)
        else:
            claimed = server.call("feature_claim_and_get")
        feature = claimed["id"] if role == "tester" else claimed["feature"]["id"]
        words = reminder(fire(project, "SessionStart", agent="", role=role, source="compact"))
        assert f"feature {feature} " in words
        again = server.call("feature_claim_and_get", feature_id=feature, resume=True)
        assert (again["feature"]["id"], again["already_claimed"]) == (feature, True)
        assert fire(project, "SessionEnd", agent="", role=role, reason="exit") == ""
        assert backlog.get(feature).status == "pending"


def test_notes_say_where_the_work_stands(project: Path, backlog: SyncBacklog) -> None:
    """A compaction leaves a note with the branch, the commit and the changed files; names are those of git."""
    backlog.take(agent="ada")
    (project / "a file").write_text("x", encoding="utf-8")
    assert fire(project, "PreCompact", trigger="auto") == ""
    (note,) = notes_of(backlog, 1)
    assert note.startswith("Where the work stands: main at ")
    assert "a file" in note
    assert backlog.get(1).status == "in_progress"
    assert fire(project, "PreCompact", agent="bob", trigger="auto") == ""
    assert notes_of(backlog, 2) == []


@pytest.mark.parametrize("event", ["stop", "subagent-stop"])
def test_an_agent_with_an_unfinished_claim_is_sent_back_once(project: Path, backlog: SyncBacklog, event: str) -> None:
    """With --check a stop is refused while a claim has no outcome, but not again and again; without it never."""
    given = {"session_id": SESSION, "hook_event_name": "Stop", "stop_hook_active": False}
    assert run(project, f"dibs hook {event} --check", given) == ""
    claimed = backlog.take(agent="ada")
    assert isinstance(claimed, Claimed)
    assert run(project, f"dibs hook {event}", given) == ""
    refused = json.loads(run(project, f"dibs hook {event} --check", given))
    assert refused["decision"] == "block"
    assert "feature 1 " in refused["reason"]
    assert "secret name" not in refused["reason"]
    assert run(project, f"dibs hook {event} --check", given | {"stop_hook_active": True}) == ""
    backlog.mark_passing(1, claim_token=claimed.claim.token)
    assert run(project, f"dibs hook {event} --check", given) == ""


@pytest.mark.parametrize(
    "given",
    ["", "no JSON", "[1]", '{"session_id": 5}', "\ud800".encode(errors="surrogatepass").decode(errors="replace")],
)
def test_other_input_harms_no_session(project: Path, backlog: SyncBacklog, given: str) -> None:
    """A client of another version may send anything."""
    backlog.take(agent="ada")
    for event in ("session-start", "pre-compact", "stop --check", "session-end"):
        run(project, f"dibs hook {event}", given)
    assert backlog.get(1).status == "pending"


def test_nothing_is_made_where_there_is_no_backlog(project: Path) -> None:
    """A session in a folder without a backlog gets no text, and no backlog is created."""
    for source in ("startup", "resume"):
        assert fire(project, "SessionStart", source=source) == ""
        assert fire(project, "SessionStart", agent="", source=source) == ""
    assert fire(project, "SessionEnd", reason="clear") == ""
    assert run(project, "dibs hook stop --check", {}) == ""
    assert not (project / ".dibs").exists()


def test_a_database_that_cannot_be_opened_ends_no_session(project: Path) -> None:
    """The reason goes to standard error, which clients show on request, and the status is 0."""
    (project / ".dibs").mkdir()
    (project / ".dibs" / "features.db").write_bytes(b"no database" * 100)
    done = subprocess.run(
        ["dibs", "hook", "session-start"],
        input="{}",
        env=os.environ | {"DIBS_AGENT": "ada"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("dibs: ")


@pytest.mark.parametrize("event", ["session-start", "stop --check", "session-end"])
def test_a_hook_without_something_to_write_loads_no_library(project: Path, backlog: SyncBacklog, event: str) -> None:
    """A client waits for each hook, so none loads more than the standard library before it has something to write."""
    claimed = backlog.take(agent="ada")
    assert isinstance(claimed, Claimed)
    agent = "bob" if event == "session-end" else "ada"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dibs", "hook", *event.split()],
        input=json.dumps({"session_id": SESSION, "hook_event_name": "X"}),
        env=os.environ | {"DIBS_AGENT": agent},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ("feature 1 " in done.stdout) is (agent == "ada")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "sqlite3" in loaded
    assert loaded.isdisjoint({"click", "pydantic", "sqlalchemy", "mcp"})


def test_sessions_that_began_in_the_same_minute_have_names_of_their_own() -> None:
    """Codex numbers its sessions by UUIDs of version 7, whose beginning is the time."""
    first, second = "01a22de2-22e0-7e82-a046-bd6ae1940b4a", "01a22de2-22e0-7e82-a046-bd6ae194c15f"
    assert (name_of("codex", first), name_of("codex", second)) == ("codex-0b4a", "codex-c15f")
