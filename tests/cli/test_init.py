"""`dibs init` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.shells import Ended, Shell
from dibs.registration.change import registration
from dibs.registration.clients import CLIENTS
from dibs.registration.command import Command
from dibs.registration.server_check import Launch, check_server

SCRIPTS = str(Path(sys.executable).parent)
FILES = [
    ".codex/config.toml",
    ".cursor/mcp.json",
    ".gemini/settings.json",
    ".mcp.json",
    ".vscode/mcp.json",
    "opencode.json",
]
ENTRY = {
    "command": "dibs-mcp",
    "args": [],
    "env": {"DIBS_DB": "${DIBS_DB:-}", "DIBS_ROLE": "${DIBS_ROLE:-all}"},
}


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, with the installed commands on PATH and without the developer's settings."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("DIBS_")}
    return {**clean, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **more}


def init(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run `dibs init` in `folder`, without a terminal."""
    return Shell(folder, env or environment()).dibs("init", *arguments)


def files(folder: Path) -> list[str]:
    """Every file of a project except those of git and Dibs."""
    found = (one.relative_to(folder) for one in folder.rglob("*") if one.is_file())
    return sorted(one.as_posix() for one in found if one.parts[0] not in {".git", ".dibs"})


def test_six_clients_are_registered_and_their_servers_answer(tmp_path: Path) -> None:
    """Each of six entries starts a server that answers, from a folder below; agents' own instructions stay as they are."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    for name in ("AGENTS.md", "CLAUDE.md", "GEMINI.md"):
        (tmp_path / name).write_text("mine\n")
    done = init(tmp_path / "src", *CLIENTS, "--yes", "--role", "coder", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["written"], said["command"]) == (True, ["dibs-mcp"])
    assert [one["client"] for one in said["clients"]] == list(CLIENTS)
    for one in said["clients"]:
        assert one["change"] == "create"
        assert (
            f"the server answers: version 0.1.0, project {tmp_path.name} in {tmp_path / '.dibs' / 'features.db'}"
            in one["server"]
        )
    assert files(tmp_path) == sorted([*FILES, "AGENTS.md", "CLAUDE.md", "GEMINI.md"])
    assert {(tmp_path / name).read_text() for name in ("AGENTS.md", "CLAUDE.md", "GEMINI.md")} == {"mine\n"}
    assert (tmp_path / ".dibs" / ".gitignore").read_text() == "*\n"
    again = init(tmp_path, *CLIENTS, "--role", "coder")
    assert (again.returncode, again.stdout.count("nothing to do.")) == (0, 6)
    assert json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["features"]["env"]["DIBS_ROLE"] == "coder"
    gone = init(tmp_path, *CLIENTS, "--remove", "--yes")
    assert (gone.returncode, gone.stdout.count(": removed.")) == (0, 6)
    assert "features" not in "".join((tmp_path / name).read_text() for name in FILES)


def test_nothing_is_written_where_nobody_can_be_asked(tmp_path: Path) -> None:
    """Without a terminal and --yes the change is shown but not made, with status 3; --dry-run exits with 0."""
    asked = init(tmp_path, "claude")
    assert (asked.returncode, files(tmp_path)) == (3, [])
    assert '+      "command": "dibs-mcp",' in asked.stdout.splitlines()
    assert "dibs-mcp is on PATH" in asked.stdout
    assert "--yes to write it" in asked.stderr
    told = init(tmp_path, "claude", "--json")
    assert (told.returncode, json.loads(told.stdout)["written"]) == (3, False)
    dry = init(tmp_path, "claude", "--dry-run", "--yes")
    assert (dry.returncode, dry.stdout, files(tmp_path)) == (0, asked.stdout, [])
    assert not (tmp_path / ".dibs").exists()


def test_without_a_client_those_in_use_are_listed(tmp_path: Path) -> None:
    """The change for each client in use is shown, and nothing is changed."""
    assert "No client is in use" in init(tmp_path).stdout
    (tmp_path / ".codex").mkdir()
    (tmp_path / "CLAUDE.md").touch()
    listed = init(tmp_path, "--yes")
    assert listed.returncode == 0
    assert "To write it: dibs init claude codex\n" in listed.stdout
    assert "+[mcp_servers.features]" in listed.stdout
    assert files(tmp_path) == ["CLAUDE.md"]


def test_a_worktree_gets_files_of_its_own(tmp_path: Path) -> None:
    """In a git worktree the file is at the worktree's root, and the backlog is the repository's."""
    (tmp_path / "main" / ".git" / "worktrees" / "side").mkdir(parents=True)
    (tmp_path / "main" / ".git" / "worktrees" / "side" / "commondir").write_text("../..\n")
    side = tmp_path / "side"
    (side / "src").mkdir(parents=True)
    (side / ".git").write_text(f"gitdir: {tmp_path}/main/.git/worktrees/side\n")
    said = json.loads(init(side / "src", "cursor", "--yes", "--json").stdout)["clients"][0]
    assert said["file"] == str(side / ".cursor" / "mcp.json")
    assert str(tmp_path / "main" / ".dibs" / "features.db") in said["server"]


@pytest.mark.posix("it types at a pty")
@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_shown_the_difference_and_asked(answer: str, tmp_path: Path) -> None:
    """At a terminal the difference is coloured; it is written after a yes, and not after a no. Two offers are declined."""
    import pty

    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "dibs", "init", "claude"],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.write(mine, f"{answer}\n\nn\n".encode())
        shown = b""
        while True:
            try:
                shown += os.read(mine, 65536)
            except OSError:  # what a terminal says at its end
                break
    os.close(mine)
    assert "\x1b[32m+" in shown.decode()
    assert "Write it?" in shown.decode()
    assert ("what every worker must know" in shown.decode(), "Add them to" in shown.decode()) == (answer == "y",) * 2
    assert (process.returncode, files(tmp_path)) == ((0, [".mcp.json"]) if answer == "y" else (1, []))


def test_one_broken_file_keeps_every_file_from_being_written(tmp_path: Path) -> None:
    """A broken file is named with line and column, the exit status is 2, and no file is written."""
    (tmp_path / "opencode.json").write_text('{\n  "mcp": {,}\n}')
    refused = init(tmp_path, "claude", "opencode", "--yes")
    assert refused.returncode == 2
    assert f"{tmp_path / 'opencode.json'} cannot be read: line 2, column 11" in refused.stderr
    assert files(tmp_path) == ["opencode.json"]
    assert (tmp_path / "opencode.json").read_text() == '{\n  "mcp": {,}\n}'


@pytest.mark.posix("its server is a shell script")
def test_a_command_that_is_no_server_is_found_out(tmp_path: Path) -> None:
    """The written command is started; if it does not answer, its output is shown, and the exit status is 1."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "dibs-mcp"
    script.write_text("#!/bin/sh\necho I am not well >&2\nexit 1\n")
    script.chmod(0o755)
    done = init(tmp_path, "gemini", "--yes", env=environment(PATH=f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"))
    assert done.returncode == 1
    assert "written, but the server does not answer: I am not well" in done.stderr


def test_a_server_that_does_not_answer_is_told_every_time(tmp_path: Path) -> None:
    """The server is tested even if nothing changes, and decides the exit status; --dry-run starts no server."""
    (tmp_path / "db").mkdir()
    flags = ("cursor", "--db", str(tmp_path / "db"))  # a folder, which is no database
    assert init(tmp_path, *flags, "--yes").returncode == 1
    again = init(tmp_path, *flags)
    assert (again.returncode, f"Cursor, {tmp_path / '.cursor' / 'mcp.json'}: nothing to do." in again.stdout) == (
        1,
        True,
    )
    assert "Cursor: unchanged, but the server does not answer: " in again.stderr
    as_json = init(tmp_path, *flags, "--json")
    assert as_json.returncode == 1
    assert "does not answer" in json.loads(as_json.stdout)["clients"][0]["server"]
    assert init(tmp_path, *flags, "--dry-run").returncode == 0
    mended = init(tmp_path, "cursor", "--db", "x.db", "--yes")
    assert (mended.returncode, "Cursor: written, and the server answers" in mended.stdout) == (0, True)
    kept = init(tmp_path, "cursor", "--yes")
    assert (kept.returncode, "Cursor: unchanged, and the server answers" in kept.stdout) == (0, True)
    assert f"in {tmp_path / 'x.db'}" in kept.stdout


def test_a_server_of_somebody_else_is_replaced_by_force_alone(tmp_path: Path) -> None:
    """Another server of that name is refused with status 2, even with --yes; --force replaces all of its entry."""
    theirs = {"mcpServers": {"features": {"command": "launchdarkly-mcp", "env": {"LD_TOKEN": "s3cret"}}}}
    file = tmp_path / ".mcp.json"
    file.write_text(json.dumps(theirs))
    for flags in (("--yes",), ("--remove", "--yes"), ("--dry-run",)):
        refused = init(tmp_path, "claude", *flags)
        assert (refused.returncode, "is not Dibs: it starts launchdarkly-mcp" in refused.stderr) == (2, True)
    assert json.loads(file.read_text()) == theirs
    assert init(tmp_path, "claude", "--yes", "--force").returncode == 0
    assert json.loads(file.read_text())["mcpServers"]["features"] == ENTRY


def test_without_the_command_on_path_this_python_is_written(tmp_path: Path) -> None:
    """The interpreter's full path starts the same server, and the reason is printed."""
    done = init(tmp_path, "vscode", "--yes", env=environment(PATH="/usr/bin:/bin"))
    assert done.returncode == 0, done.stderr
    assert "dibs-mcp is not on PATH" in done.stdout
    entry = json.loads((tmp_path / ".vscode" / "mcp.json").read_text())["servers"]["features"]
    assert entry == {"type": "stdio", "command": sys.executable, "args": ["-m", "dibs", "serve"]}


def test_flags_are_written_and_checked_as_settings(tmp_path: Path) -> None:
    """--db, --project, --agent and --role are written to the entry; a password or an unknown role is refused."""
    flags = ("--db", "ours.db", "--project", "shop", "--agent", "ann", "--role", "tester")
    done = init(tmp_path, "claude", *flags, "--dry-run", "--json")
    diff = json.loads(done.stdout)["clients"][0]["diff"]
    for line in (
        f'"DIBS_DB": {json.dumps(str(tmp_path / "ours.db"))}',
        '"DIBS_PROJECT": "shop"',
        '"DIBS_AGENT": "ann"',
        '"DIBS_ROLE": "tester"',
    ):
        assert line in diff
    secret = init(tmp_path, "claude", "--db", "postgresql://ann:secret@db.example/x", "--yes")
    assert (secret.returncode, files(tmp_path)) == (2, [])
    assert "secret" not in secret.stdout + secret.stderr
    assert init(tmp_path, "claude", "--role", "king").returncode == 2
    assert init(tmp_path, "emacs").returncode == 2


def test_a_client_that_passes_nothing_on_is_tried_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DIBS_DB in the shell, Claude Code's server serves that database, and Codex's server serves its project's own."""
    other = tmp_path / "elsewhere" / "features.db"
    monkeypatch.setenv("DIBS_DB", str(other))
    here = Command((sys.executable, "-m", "dibs", "serve"), "it is there")
    served: dict[str, Any] = {}
    for name in ("claude", "codex"):
        change = registration(CLIENTS[name], tmp_path, here, {})
        assert change.entry is not None
        served[name] = check_server(Launch.of(change.client, change.entry), tmp_path).database
    assert served == {"claude": str(other), "codex": str(tmp_path / ".dibs" / "features.db")}
