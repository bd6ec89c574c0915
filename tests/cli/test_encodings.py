"""Names and contents of files that are not UTF-8, long paths, closed folders, and terminals with few characters."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.shells import Shell
from faults.test_taken_away import without_power_over_files

pytestmark = pytest.mark.only_on("sqlite", reason="no engine plays a part")

NAME = "Änderung €🎉"
NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")
FEATURES = [{"category": "core", "name": NAME, "description": "It.", "steps": ["Look."]}]
TERMINALS: dict[str, dict[str, str]] = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C"},
}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a folder without a backlog."""
    (tmp_path / "folder" / ".git").mkdir(parents=True)
    return Shell(tmp_path / "folder")


def run(
    shell: Shell, *words: str, given: bytes = b"", cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Run a command in a process of its own; return its status and all that it prints."""
    done = subprocess.run(
        [*without_power_over_files(), sys.executable, "-m", "dibs", *words],
        cwd=cwd or shell.folder,
        env=shell.environment(**(variables or {})),
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    assert b"Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


@pytest.mark.parametrize("terminal", TERMINALS)
def test_every_terminal_can_show_every_text(shell: Shell, terminal: str) -> None:
    """Text is escaped where a character is missing, and JSON stays JSON with the same values."""
    variables = TERMINALS[terminal]
    assert shell.dibs("add", NAME, *NEW).returncode == 0
    for command in ("list", "show 1", "get 1", "status", "history 1", "graph", "doctor", "claim"):
        status, printed = run(shell, *command.split(), variables=variables)
        assert status in (0, 1), printed
        assert "Error" not in printed.decode("cp1252", "replace")
    status, printed = run(shell, "list", "--json", variables=variables)
    assert json.loads(printed)["features"][0]["name"] == NAME


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("command", ["plan", "import"])
@pytest.mark.parametrize("source", ["file", "-"])
def test_plans_and_imports_are_read_in_these_encodings(shell: Shell, encoding: str, command: str, source: str) -> None:
    """From a file or from standard input, with the byte order mark that Windows writes, and in UTF-16."""
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = mark + json.dumps(FEATURES, ensure_ascii=False).encode(encoding)
    (shell.folder / "list.json").write_bytes(content)
    status, printed = run(shell, command, "list.json" if source == "file" else "-", given=content)
    assert status == 0, printed
    assert [one["name"] for one in shell.json("list")["features"]] == [NAME]


@pytest.mark.parametrize("content", [b"[\xff]", b"\xff\xfe[", b"", b"SQLite format 3\0" + bytes(200)])
@pytest.mark.parametrize("command", ["plan", "import"])
def test_what_cannot_be_read_from_standard_input_is_refused(shell: Shell, command: str, content: bytes) -> None:
    """Neither a traceback nor a backlog comes of it."""
    status, printed = run(shell, command, "-", given=content)
    assert status == 2, printed
    assert not (shell.folder / ".dibs" / "features.db").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\0garbage", b"", b"gitdir: " + b"x" * 5000, b"gitdir: a\0b"])
def test_a_file_that_git_did_not_write_is_refused(tmp_path: Path, content: bytes) -> None:
    """Which backlog is meant cannot be known from it."""
    (tmp_path / ".git").write_bytes(content)
    for command in (("status",), ("add", "One", *NEW), ("claim",)):
        done = Shell(tmp_path).dibs(*command)
        assert (done.returncode, "holds no path" in done.stderr) == (2, True), done


def test_a_worktree_of_a_repository_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """Its `.git` file is read as git wrote it."""
    repository = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd"))
    git_dir = repository / ".git" / "worktrees" / "w"
    git_dir.mkdir(parents=True)
    (git_dir / "commondir").write_text("../..\n")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_bytes(b"gitdir: " + os.fsencode(git_dir) + b"\n")
    shell = Shell(tmp_path)
    for command in (("status",), ("add", "One", *NEW), ("backup",), ("doctor", "--json")):
        status, printed = run(shell, *command, cwd=tmp_path / "w")
        assert (status in (1, 2), b"is not UTF-8" in printed) == (True, True), printed
    assert not (repository / ".dibs").exists()


def test_a_folder_whose_name_is_not_utf_8_is_refused_by_a_server(tmp_path: Path) -> None:
    """The server answers `initialize`, and each call says why."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd"))
    (folder / ".git").mkdir(parents=True)
    status, printed = run(Shell(folder), "init", "claude", "--yes")
    assert (status, b"is not UTF-8. Nothing was changed" in printed) == (1, True), printed
    status, printed = run(Shell(tmp_path), "status", "--db", str(folder / "it.db"))
    assert (status, b"is not UTF-8" in printed) == (2, True), printed


def test_a_path_that_is_too_long_is_refused_for_its_length(tmp_path: Path) -> None:
    """SQLite opens 504 bytes of a path, and a file system 255 of a name; the longest of both works."""
    folder = tmp_path.joinpath(*["d" * 99] * 6)
    for path in (folder / "features.db", tmp_path / ("x" * 256), tmp_path / ("x" * 250)):
        for command in (("status",), ("add", "One", *NEW), ("doctor", "--json"), ("backup",)):
            done = Shell(tmp_path).dibs(*command, "--db", path)
            assert done.returncode == 2, done
            assert "too long for SQLite" in done.stderr + done.stdout
        assert not path.parent.exists() or path.parent == tmp_path
    parts, rest = divmod(504 - len(os.fsencode(tmp_path)) - 1, 100)
    longest = tmp_path.joinpath(*["d" * 99] * parts, "x" * rest)
    assert len(os.fsencode(longest)) == 504
    assert Shell(tmp_path).dibs("add", "One", *NEW, "--db", longest).returncode == 0


@pytest.mark.parametrize("command", ["status", "list", "claim", "backup", "settings", "doctor --json", "graph"])
def test_a_folder_that_may_not_be_entered_is_named(shell: Shell, command: str) -> None:
    """The refusal says that permission is denied, and not that there is no backlog."""
    folder = shell.folder / ".dibs"
    folder.mkdir()
    folder.chmod(0)
    try:
        status, printed = run(shell, *command.split())
    finally:
        folder.chmod(0o700)
    assert status in (1, 2)
    assert b".dibs cannot be entered" in printed
    assert b"Permission denied" in printed


def test_a_home_folder_that_is_not_known_is_refused(shell: Shell) -> None:
    """As in a container whose user has no entry in the list of users."""
    for command in (("status",), ("add", "One", *NEW), ("backup",), ("init", "claude", "--dry-run")):
        done = shell.dibs(*command, "--db", "~nobody-of-this-name/it.db")
        assert (done.returncode, "no such home folder" in done.stderr) == (2, True), done
