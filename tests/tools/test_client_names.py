"""A holder without an agent name is shown by its client's program, its folder and its role."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dibs.client import server_command
from dibs.rules.holder_names import is_of_connection
from dibs_proof.raw_client import OPENING, RawClient
from races.servers import ServerClient

NEW: dict[str, Any] = {"category": "area", "name": "a feature", "description": "d", "steps": ["s"]}


def opened_by(client: str) -> list[dict[str, Any]]:
    """Return the opening of a client's connection with its program's name."""
    opening = deepcopy(OPENING)
    opening[0]["params"]["clientInfo"]["name"] = client
    return opening


def shown(db: str, folder: Path, client: str, role: str = "all") -> tuple[str, str]:
    """Return the author of a note, and the holder of a claim if the role can claim, or else the author again."""
    folder.mkdir()
    command, opening = server_command("--db", db, "--role", role), opened_by(client)
    with closing(ServerClient(command, {"CLAUDE_PROJECT_DIR": str(folder)}, opening)) as server:
        if role == "tester":
            return (noted(server, 1),) * 2
        (feature,) = server.call("feature_create", **NEW, allow_duplicates=True)["ids"]
        server.call("feature_mark_in_progress", feature_id=feature)
        holder = server.call("feature_get_by_id", feature_id=feature)["claimed_by"]
        return noted(server, feature), holder


def noted(server: RawClient, feature: int) -> str:
    """Add a note, and return its author."""
    server.call("feature_add_note", feature_id=feature, text="seen")
    parts = server.call("feature_get_history", feature_id=feature)["parts"]
    return str(next(one["agent"] for part in parts for one in part["events"] if one["kind"] == "note"))


@pytest.mark.parametrize(
    ("client", "folder", "pattern"),
    [
        ("claude-code", "wt-ann", r"claude-code-[0-9a-f]{4} in wt-ann"),
        ("Visual Studio Code", "my shop", r"Visual-Studio-Code-[0-9a-f]{4} in my-shop"),
        ("", "änderung", r"client-[0-9a-f]{4} in änderung"),
        ("\x1b[31m\u202eevil\n", "x" * 200, r"31m-evil-[0-9a-f]{4} in x{30}"),
    ],
)
def test_a_connection_is_shown_by_its_program_and_folder(
    db: str, tmp_path: Path, client: str, folder: str, pattern: str
) -> None:
    """Notes and claims show the same short name, in letters that every terminal shows alike."""
    author, holder = shown(db, tmp_path / folder, client)
    assert re.fullmatch(pattern, holder)
    assert author == holder
    assert is_of_connection(holder)


def test_the_overview_names_the_program_of_every_holder(db: str) -> None:
    """Of a name in the settings, of one in the call, and of a holder without a name; not of a program without one."""
    flags = {"ada": ("--agent", "ada"), "ben": (), None: (), "cyd": ()}
    with ExitStack() as stack:
        for client, (agent, more) in zip(("Claude Code", "codex", "opencode", ""), flags.items(), strict=True):
            command = server_command("--db", db, *more)
            server = stack.enter_context(closing(ServerClient(command, {}, opened_by(client))))
            (feature,) = server.call("feature_create", **NEW, allow_duplicates=True)["ids"]
            server.call(
                "feature_claim_and_get", feature_id=feature, **({} if agent in ("ada", None) else {"agent": agent})
            )
        claims = server.call("feature_get_overview")["claims"]
    assert [one.get("client") for one in claims] == ["Claude-Code", "codex", "opencode", None]


def test_the_role_of_a_tester_is_shown(db: str, tmp_path: Path) -> None:
    """People see whose note is a tester's. A server of all roles, or a coder's, says nothing of it."""
    shown(db, tmp_path / "first", "codex")
    author, _ = shown(db, tmp_path / "wt", "codex", role="tester")
    assert re.fullmatch(r"codex-[0-9a-f]{4} in wt \(tester\)", author)
    assert is_of_connection(author)


@pytest.mark.parametrize("name", ["laptop-1234", "client-3da5", "build in wt", "ann"])
def test_names_of_agents_have_another_form(name: str) -> None:
    """An agent's own name has the limits of an agent, also if it ends in a number."""
    assert not is_of_connection(name)
