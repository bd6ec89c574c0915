"""`dibs settings` and `dibs init --instructions`: what a person sets, and what only a person may set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.shells import Shell
from dibs.session.allowed_commands import AllowedCommands

TOLD = "Read docs/style.md first.\nNo new dependencies."


@pytest.fixture
def person(there: Shell, tmp_path: Path) -> Shell:
    """A person's shell with a backlog; the user has a configuration folder of their own."""
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "CLAUDE_CODE_SESSION_ID": ""}
    shell = replace(there, settings={**there.settings, **own})
    shell.json("add", "a feature", "--category", "api", "--description", "d", "--step", "s")
    return shell


def shown(shell: Shell, name: str) -> object:
    """Return a setting as the command shows it."""
    return shell.json("settings", name)[name]


def test_a_long_text_comes_from_a_file(person: Shell) -> None:
    """Instructions are read from a file, shown as a value, brought by a claim, and emptied by an empty value."""
    (person.folder / "told.md").write_text(TOLD)
    assert person.json("settings", "instructions", "--file", "told.md") == {"instructions": TOLD}
    assert shown(person, "instructions") == TOLD
    assert f"instructions: {TOLD}" in person.dibs("claim").stdout
    person.json("settings", "instructions", "")
    assert shown(person, "instructions") == ""


def test_definitions_of_done_are_set_one_at_a_time(person: Shell) -> None:
    """--category sets the text of one category and leaves the others; an empty text removes it; JSON sets all of them."""
    for category in ("api", "web"):
        person.json("settings", "done_when", f"{category} works", "--category", category)
    person.json("settings", "done_when", "tested", "--category", "API")
    assert shown(person, "done_when") == {"API": "tested", "web": "web works"}
    person.json("settings", "done_when", "", "--category", "web")
    assert shown(person, "done_when") == {"API": "tested"}
    person.json("settings", "done_when", '{"web": "tested", "api": "tested"}')
    person.json("settings", "done_when", "reviewed", "--category", "API")
    assert shown(person, "done_when") == {"web": "tested", "API": "reviewed"}
    person.json("settings", "done_when", '{"core": "built"}')
    assert shown(person, "done_when") == {"core": "built"}
    ended = person.dibs("settings", "done_when", "built")
    assert (ended.returncode, "JSON object" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "agent", [{"CLAUDE_CODE_SESSION_ID": "4c1f"}, {"DIBS_ROLE": "coder"}, {"DIBS_CLAIM": "t"}], ids=str
)
@pytest.mark.parametrize("what", ["true", "--allow"])
def test_an_agents_shell_sets_no_verify_command(person: Shell, agent: dict[str, str], what: str) -> None:
    """In the shell of an agent the command is neither set nor allowed."""
    person.json("settings", "verify_command", "make test")
    ended = replace(person, settings={**person.settings, **agent}).dibs("settings", "verify_command", what)
    assert (ended.returncode, "Only a person" in ended.stderr) == (1, True)
    assert shown(person, "verify_command") == "make test"


def test_what_a_person_sets_is_allowed_on_their_machine_alone(person: Shell, tmp_path: Path) -> None:
    """What was set may run as this user; for another user, project or command somebody has to allow it."""
    person.json("settings", "verify_command", "make test")
    (file,) = (tmp_path / "config" / "dibs" / "verify-commands").iterdir()
    assert file.read_text() == "make test\n"
    allowed = AllowedCommands(file.parent)
    assert not allowed.allows("another generation", "make test")
    other = tmp_path / "other"
    person.json("settings", "verify_command", "--allow", XDG_CONFIG_HOME=str(other))
    assert [one.name for one in (other / "dibs" / "verify-commands").iterdir()] == [file.name]
    assert person.dibs("settings", "order", "--allow").returncode == 2


def test_init_starts_the_instructions_from_a_file(person: Shell) -> None:
    """`dibs init --instructions` stores the file's text; a text that is too long changes nothing."""
    (person.folder / "told.md").write_text(TOLD)
    done = person.dibs("init", "claude", "--yes", "--instructions", "told.md")
    assert done.returncode == 0, done.stderr
    assert f"{len(TOLD)} characters" in done.stdout
    assert shown(person, "instructions") == TOLD
    (person.folder / "long.md").write_text("x" * 2_001)
    done = person.dibs("init", "claude", "--yes", "--instructions", "long.md")
    assert (done.returncode, "more than 2000 characters" in done.stderr) == (2, True)
    assert shown(person, "instructions") == TOLD
    assert person.dibs("init", "--instructions", "told.md").returncode == 2
