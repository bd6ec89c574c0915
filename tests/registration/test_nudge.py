"""The lines about the backlog in a project's instructions for agents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dibs.registration.nudge import BEGIN, END, TEXT, nudges
from dibs_schema.refusals import InvalidInput, ReadOnly


def put(root: Path, *, remove: bool = False) -> None:
    """Add the lines, or remove them."""
    for one in nudges(root, remove=remove):
        one.write()


@pytest.mark.parametrize(
    "text",
    ["# Rules\n", "# Rules\r\n\r\nTwo\r\n", "no final newline", "\n\n\n", "ä\n", f"see {BEGIN[:9]}\n"],
    ids=["plain", "CRLF", "no final newline", "empty lines", "not ASCII", "half a marker"],
)
def test_the_lines_are_added_once_and_removed_without_a_trace(tmp_path: Path, text: str) -> None:
    """Line ends are those of the file, a second run changes nothing, and what stood there stays."""
    file = tmp_path / "CLAUDE.md"
    file.write_bytes(text.encode())
    put(tmp_path)
    written = file.read_bytes().decode()
    assert written.startswith(text)
    assert "\n".join(written.splitlines()).endswith(f"{BEGIN}\n{TEXT}\n{END}")
    assert ("\r\n" in written) is ("\r\n" in text)
    assert "\r\n" not in text or written.count("\n") == written.count("\r\n")
    assert nudges(tmp_path) == []
    file.write_bytes(written.replace("claim it with", "an older text").encode() + b"more\n")
    put(tmp_path)
    assert file.read_bytes().decode() == written + "more\n", "an older text is brought up to date where it stands"
    file.write_bytes(written.encode())
    put(tmp_path, remove=True)
    left = file.read_bytes().decode()
    assert left == (text if text.endswith("\n") else text + "\n")


def test_a_project_without_instructions_gets_a_file_that_is_removed_again(tmp_path: Path) -> None:
    """`AGENTS.md` is made, and is gone after the removal; nothing is made to remove something."""
    assert nudges(tmp_path, remove=True) == []
    put(tmp_path)
    assert (tmp_path / "AGENTS.md").read_text(encoding="utf-8") == f"{BEGIN}\n{TEXT}\n{END}\n"
    put(tmp_path, remove=True)
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """Where one file is a link to the other the lines are added once, and a link out of the project is refused."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "AGENTS.md").write_text("mine\n")
    (tmp_path / "p" / "CLAUDE.md").symlink_to("AGENTS.md")
    put(tmp_path / "p")
    assert (tmp_path / "p" / "CLAUDE.md").is_symlink()
    assert (tmp_path / "p" / "AGENTS.md").read_text(encoding="utf-8").count(BEGIN) == 1
    (tmp_path / "elsewhere.md").write_text("theirs\n")
    (tmp_path / "p" / "CLAUDE.md").unlink()
    (tmp_path / "p" / "CLAUDE.md").symlink_to("../elsewhere.md")
    with pytest.raises(InvalidInput, match="leads out of the project"):
        nudges(tmp_path / "p", remove=True)


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n" * 2])
def test_other_markers_are_refused(tmp_path: Path, text: str) -> None:
    """Half a pair, a reversed one and several say nothing about what may be replaced."""
    (tmp_path / "AGENTS.md").write_text(text)
    with pytest.raises(InvalidInput, match="Mend it by hand"):
        nudges(tmp_path)
    assert (tmp_path / "AGENTS.md").read_text() == text


def test_a_file_that_may_not_be_changed_is_refused(tmp_path: Path) -> None:
    """A read-only file, bytes that are no UTF-8 and a folder are left as they are."""
    file = tmp_path / "AGENTS.md"
    file.write_text("mine\n")
    file.chmod(0o444)
    with pytest.raises(ReadOnly):
        nudges(tmp_path)
    file.chmod(0o644)
    file.write_bytes(b"\xff\n")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        nudges(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(InvalidInput, match="a folder"):
        nudges(tmp_path)


def test_the_command_adds_the_lines_only_if_it_is_told_to(tmp_path: Path) -> None:
    """Without a terminal nobody is asked and nothing is added; --nudge adds them, and --remove takes them out."""
    (tmp_path / ".git").mkdir()
    init = [sys.executable, "-m", "dibs", "init", "claude", "--yes"]
    for words, there in (([], False), (["--nudge"], True), (["--no-nudge", "--remove"], True), (["--remove"], False)):
        done = subprocess.run([*init, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert (tmp_path / "AGENTS.md").exists() is there, done.stdout
