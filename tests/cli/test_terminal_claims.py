"""A claim without a name belongs to the terminal at which it was typed, and to no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from cli.shells import Shell
from dibs.database import Database, open_database
from dibs.session.terminal import foreground_terminal
from dibs.settings import Settings
from verbs.stage import add, expire, row


class Terminal:
    """An interactive shell on a terminal of its own, with job control."""

    def __init__(self, shell: Shell, number: int) -> None:
        self._folder = shell.folder
        self._prefix = f"typed-{number}"
        self._typed = 0
        bin_ = shell.folder / "bin"
        bin_.mkdir(exist_ok=True)
        (bin_ / "dibs").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dibs "$@"\n', encoding="utf-8")
        (bin_ / "dibs").chmod(0o755)
        self._master, terminal = os.openpty()
        os.set_blocking(self._master, False)
        self._process = subprocess.Popen(
            [shutil.which("sh") or "sh"],
            cwd=shell.folder,
            env=shell.environment(PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}", ENV="", PS1=""),
            preexec_fn=partial(os.login_tty, terminal),  # noqa: PLW1509 - no thread of these tests holds a lock
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the terminal, which ends the shell."""
        os.close(self._master)
        self._process.kill()
        self._process.wait()

    def type(self, command: str, *, then: str = "") -> tuple[int, str]:
        """Type a command, and return its exit status and what it printed. `then` is typed after it."""
        self._typed += 1
        name = f"{self._prefix}-{self._typed}"
        line = f"{command} >{name}.out 2>{name}.err {then}; echo $? >{name}.new; mv {name}.new {name}.status\n"
        os.write(self._master, line.encode())
        status = self._folder / f"{name}.status"
        deadline = time.monotonic() + 60
        while not status.exists():
            assert time.monotonic() < deadline, self._read()
            time.sleep(0.02)
            self._read()
        return int(status.read_text()), (self._folder / f"{name}.out").read_text()

    def json(self, command: str, *, then: str = "") -> Any:
        """Type `dibs … --json`, and return the answer, or the code of the refusal."""
        _, printed = self.type(f"dibs {command} --json", then=then)
        answer = json.loads(printed)
        return answer["error"]["code"] if "error" in answer else answer

    def _read(self) -> bytes:
        with suppress(BlockingIOError, OSError):
            return os.read(self._master, 1 << 16)
        return b""


@pytest.fixture
def terminal(there: Shell) -> Iterator[Callable[[], Terminal]]:
    """Open a terminal in the folder of the backlog."""
    opened: list[Terminal] = []

    def open_one() -> Terminal:
        opened.append(Terminal(there, len(opened)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.__exit__()


@contextmanager
def backlog(shell: Shell) -> Iterator[Database]:
    """The shell's backlog, for set-up and checks."""
    database = open_database(Settings(db=shell.db))
    try:
        yield database
    finally:
        database.close(5)


def stored(shell: Shell) -> list[Path]:
    """Return all files and folders of tokens."""
    home = shell.folder if "://" in shell.db else Path(shell.db).parent
    return sorted((home / ".dibs" / "tokens").rglob("*"))


def test_every_command_means_the_terminals_only_claim(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """No command needs a token, and at the end none is left."""
    with backlog(there) as database:
        one, two, three, four, five = add(database, 5)
    here = terminal()
    status, printed = here.type("dibs claim")
    assert (status, f"To finish it in this terminal: `dibs pass {one}`" in printed) == (0, True)
    assert here.json(f"heartbeat {one}")["status"] == "in_progress"
    assert here.json(f"pass {one}")["status"] == "passing"
    for feature, command in ((two, "fail {} no"), (three, "skip {} no"), (four, "ask {} What?"), (five, "release {}")):
        assert here.json(f"claim {feature}")["feature"]["id"] == feature
        assert here.json(command.format(feature))["id"] == feature
    assert stored(there) == []


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_terminal_never_ends_the_claim_of_another(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """Nor does a command without a terminal."""
    with backlog(there) as database:
        (one,) = add(database)
    here, other = terminal(), terminal()
    here.json("claim")
    for command in ("pass", "release", "heartbeat"):
        assert other.json(f"{command} {one}") == "token_required"
        assert there.json(command, one, status=1)["error"]["code"] == "token_required"
    assert here.json(f"pass {one}")["status"] == "passing"


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_several_claims_of_a_terminal_are_told_apart_by_tokens(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """While two are live, neither is meant; the one that is left is the only one again."""
    with backlog(there) as database:
        one, two = add(database, 2)
    here = terminal()
    token = here.json("claim")["claim"]["token"]
    status, printed = here.type("dibs claim")
    assert (status, "in this terminal" in printed, "--token" in printed) == (0, False, True)
    assert [here.json(f"pass {feature}") for feature in (one, two)] == ["token_required"] * 2
    assert here.json(f"pass {one} --token {token}")["status"] == "passing"
    assert here.json(f"pass {two}")["status"] == "passing"


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_what_runs_unattended_stores_and_means_nothing(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """Background jobs, xargs, another standard input, and a claim that was printed for somebody else."""
    with backlog(there) as database:
        ids = add(database, 5)
    here = terminal()
    unattended = [
        ("dibs {}", "& wait"),
        ("echo {} | xargs dibs", ""),
        ("dibs {} </dev/null", ""),
        ("true | dibs {}", ""),
    ]
    for command, then in unattended:
        here.type(command.format("claim --json"), then=then)
    assert here.type("dibs claim --print-token")[0] == 0
    assert stored(there) == []
    with backlog(there) as database:
        assert {row(database, one)["status"] for one in ids} == {"in_progress"}
        (last,) = add(database)
    assert here.json("claim")["feature"]["id"] == last
    for command, then in unattended:
        _, printed = here.type(command.format(f"pass {last} --json"), then=then)
        assert json.loads(printed)["error"]["code"] == "token_required"
    assert here.json(f"pass {last}")["status"] == "passing"


def test_a_lost_claim_is_not_mistaken_for_a_newer_one(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """A late call is refused, also if the same terminal has claimed the feature again: another program may have."""
    with backlog(there) as database:
        one, two = add(database, 2)
        here = terminal()
        here.json("claim")
        expire(database, one)
        there.json("claim", one, DIBS_AGENT="bob")
        there.json("pass", one, DIBS_AGENT="bob")
        assert here.json(f"fail {one} no") == "claim_lost"
        assert row(database, one)["status"] == "passing"
        assert here.json("claim")["feature"]["id"] == two
        assert here.json(f"fail {one} 'It broke.'")["status"] == "pending", (
            "a report, since the lost claim is forgotten"
        )
        expire(database, two)
        token = here.json(f"claim {two}")["claim"]["token"]
        assert here.json(f"pass {two}") == "token_required"
        assert here.json(f"note {two} 'Late.'")["id"] == two
        assert here.json(f"pass {two} --token {token}")["status"] == "passing"


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_name_comes_before_the_terminal(there: Shell, terminal: Callable[[], Terminal]) -> None:
    """A named agent does not use the terminal's claim, and its own claim is not the terminal's."""
    with backlog(there) as database:
        one, two = add(database, 2)
    here = terminal()
    here.json("claim")
    assert here.json(f"pass {one} --agent ada") == "token_required"
    here.json("claim --agent ada")
    assert here.json(f"pass {two}") == "token_required"
    assert here.json(f"pass {one}")["status"] == "passing"
    assert here.json(f"pass {two} --agent ada")["status"] == "passing"


def test_a_process_without_a_terminal_has_none() -> None:
    """Tests have another standard input."""
    command = [sys.executable, "-c", "from dibs.session.terminal import *; print(foreground_terminal())"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    if not os.isatty(0):
        assert foreground_terminal() is None
