"""`dibs pass` runs the project's verify command in the shell's folder, and takes it along when it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from board.browser.windows import eventually
from cli.shells import Shell
from dibs.platform.processes import is_running


@pytest.fixture
def person(there: Shell, tmp_path: Path) -> Shell:
    """A person's shell with one claimed feature; the user has a configuration folder of their own."""
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "CLAUDE_CODE_SESSION_ID": "", "DIBS_AGENT": "ada"}
    shell = replace(there, settings={**there.settings, **own})
    shell.json("add", "a feature", "--category", "api", "--description", "d", "--step", "s")
    shell.json("claim", "1")
    return shell


def number_in(file: Path) -> Callable[[], int | None]:
    """Return a function that reads the number of a process from a file, or returns None until it is there."""

    def read() -> int | None:
        with suppress(OSError, ValueError):
            return int(file.read_text())
        return None

    return read


def test_the_command_runs_where_the_shell_is(person: Shell) -> None:
    """A failure prints the end of the output, exits with 1 and keeps the claim; a success passes with the evidence."""
    person.json("settings", "verify_command", "echo looking for it; test -f here")
    done = person.dibs("pass", "1", "--evidence", "looked")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("looking for it\ndibs: `echo looking")
    assert "exit status 1" in done.stderr
    assert "dibs pass 1" in done.stderr
    below = person.folder / "below"
    below.mkdir()
    (below / "here").touch()
    assert person.dibs("pass", "1", "--evidence", "looked", cwd=below).returncode == 0
    shown = person.json("show", "1")
    assert (shown["status"], shown["evidence"], shown["verification"]["exit_code"]) == (
        "passing",
        {"summary": "looked"},
        0,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_an_ended_shell_ends_the_command(person: Shell, number: signal.Signals) -> None:
    """Ctrl-C, a signal and a kill end the command with all that it started, and the feature does not pass."""
    person.json("settings", "verify_command", "trap '' INT TERM; echo $$ > command; sleep 600 & echo $! > child; wait")
    files = [number_in(person.folder / name) for name in ("command", "child")]
    with person.start("pass", "1") as started:
        eventually(lambda: all(read() is not None for read in files))
        os.kill(started.pid, number)
        assert started.wait(timeout=20) != 0
    for read in files:
        pid = read()
        assert pid is not None
        eventually(lambda pid=pid: not is_running(pid))  # type: ignore[misc]  # a bound default
    assert person.json("get", "1")["status"] == "in_progress"


def test_an_export_has_no_verification(person: Shell) -> None:
    """A file proves nothing: an export leaves the verification out, and no import can bring one."""
    person.json("settings", "verify_command", "true")
    person.json("pass", "1", "--evidence", "looked")
    exported = json.loads(person.dibs("export", "--output", "-").stdout)
    (feature,) = exported["features"]
    assert feature["evidence"] == {"summary": "looked"}
    feature["evidence"]["verification"] = {"command": "true", "exit_code": 0, "seconds": 1}
    (person.folder / "forged.json").write_text(json.dumps(exported))
    assert person.dibs("import", "forged.json").returncode != 0
    assert "verification" in person.json("show", "1")


def test_the_command_has_no_claim_and_no_repository_of_its_caller(person: Shell) -> None:
    """The verify command inherits neither the agent's claim nor the variables by which git names a repository."""
    person.json("settings", "verify_command", "env > seen; git rev-parse --show-toplevel > top")
    subprocess.run(["git", "init", "--quiet", str(person.folder)], check=True)
    elsewhere = {"DIBS_TOKEN": "", "GIT_DIR": str(person.folder / "no-such"), "GIT_WORK_TREE": "/"}
    agent = replace(person, settings={**person.settings, **elsewhere})
    assert agent.dibs("pass", "1", "--evidence", "looked").returncode == 0
    names = {line.partition("=")[0] for line in (person.folder / "seen").read_text().splitlines()}
    assert not names & {"DIBS_CLAIM", *elsewhere}
    assert Path((person.folder / "top").read_text().strip()) == person.folder.resolve()
