"""`dibs copy`, run as a person runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from races.backlog import fill
from transfer.copy.projects import opened, stage
from verbs.stage import add

SECRET = "not-to-be-told"


def command(*arguments: str) -> list[str]:
    """Return a command line of `dibs`."""
    return [sys.executable, "-m", "dibs", *arguments]


def dibs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dibs`."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


def test_it_says_what_to_do_next(pair: tuple[str, str]) -> None:
    """The output names the copied rows and both databases, without credentials; standard error stays empty."""
    source, target = pair
    with opened(source, "web") as old:
        stage(old)
    done = dibs("copy", "--from", source, "--to", target, "--project", "web", "--with-claims")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "features",
        "events",
        "compared",
        "1 claim,",
        "DIBS_DB",
        "DIBS_PROJECT=web",
        "refuses writes",
    ):
        assert words in done.stdout
    assert SECRET not in done.stdout
    status = dibs("status", "--db", source, "--project", "web")
    assert "moved to" in status.stdout
    assert "moved to" not in dibs("status", "--db", target, "--project", "web").stdout


def test_it_answers_in_json(pair: tuple[str, str]) -> None:
    """--json prints the counts of every table and a digest; a refusal is JSON too, with its own status."""
    source, target = pair
    with opened(source) as old:
        add(old, 2)
    done = dibs("copy", "--from", source, "--to", target, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["rows"]["features"], answer["rows"]["events"], answer["finished"]) == (2, 2, False)
    assert len(answer["digest"]) == 32
    assert SECRET not in done.stdout
    again = dibs("copy", "--from", source, "--to", target, "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["error"]["code"] == "database_replaced"
    assert SECRET not in again.stdout + again.stderr


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_terminal_shows_how_far_it_is(new_place: Callable[[str], str], engine: str) -> None:
    """The progress bar is written to standard error, if that is a terminal, so that --json output stays clean."""
    source, target = new_place(engine), new_place("sqlite")
    with opened(source) as old:
        for _ in range(3):
            fill(old, 1_000)
    reading, writing = pty.openpty()
    shown = b""
    with subprocess.Popen(
        command("copy", "--from", source, "--to", target, "--json"),
        stdout=subprocess.PIPE,
        stderr=writing,
        env=os.environ | {"TERM": "xterm-256color"},
    ) as process:
        os.close(writing)
        while chunk := _read(reading):  # the terminal must be read, otherwise the bar would fill its buffer and block
            shown += chunk
        printed, _ = process.communicate(timeout=60)
    os.close(reading)
    assert process.returncode == 0
    assert json.loads(printed)["rows"]["features"] == 3_000
    assert b"copying" in shown or b"comparing" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # EIO: the other end is closed
        return b""
