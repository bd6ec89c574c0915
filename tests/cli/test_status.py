"""`dibs status` says what needs a person, who works on what, and how far the project is, and stays live with --watch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.shells import Shell
from dibs.database import Database
from dibs.verbs import lease
from dibs_schema.status import Status
from verbs.stage import add, age, alter, ask_question, depend, expire, finish, place, rule

MINUTE, HOUR = 60, 3_600


def lines(there: Shell, *flags: str) -> list[str]:
    """Return what `dibs status` prints, with single spaces."""
    done = there.dibs("status", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def night(database: Database) -> None:
    """Make a backlog in which everything that a person wants to see has happened."""
    rule(database, verifier="other")
    finish(database, add(database, name="Pay")[0])  # 1
    waiting = add(database, name="Ship")[0]  # 2
    ask_question(database, waiting)
    place(database, Status.STUCK, name="Sign in")  # 3
    lost = place(database, Status.IN_PROGRESS, name="Log")  # 4
    expire(database, lost.id)
    database.write_now(lease.reap)
    depend(database, add(database, name="Report")[0], lost.id)  # 5
    age(database, 2 * HOUR - 10 * MINUTE)
    place(database, Status.NEEDS_HUMAN, name="Colours")  # 6
    place(database, Status.IN_PROGRESS, name="Search")  # 7
    age(database, 10 * MINUTE)


def test_what_needs_a_person_comes_first_then_who_works_then_counts(there: Shell, database: Database) -> None:
    """With the command to run, and with times as people say them."""
    night(database)
    printed = lines(there)
    assert printed[0].endswith(" 14.3 % passing, 7 features")
    parts = "\n".join(printed).split("\n\n")
    assert [part.split("\n")[0] for part in parts[1:3]] == ["needs you", "at work"]
    assert parts[1].split("\n")[1:] == [
        "dibs answer --question 1 asked 2 h ago planner: Which port? (2 waits for it)",
        "dibs answer 6 asked 10 min ago Colours; ada-6: Please decide.",
        "dibs show 3 stuck for 2 h Sign in: skipped 3 times, last because: cannot be built yet",
        "dibs show 1 passed 2 h ago Pay: passed by ada-1, to be confirmed by another agent",
    ]
    assert re.fullmatch(r"7 Search ada-7 held 10 min, last sign \d+ s ago", parts[2].split("\n")[1])
    counts = parts[3].split("\n")
    assert "ready 1 (part of pending) the oldest for 2 h: 4" in counts
    assert "pending 3 one has waited for 2 h: 2" in counts
    assert "in_progress 1 the oldest for 10 min: 7" in counts
    assert "0 passed in the last hour, 1 in the last day" in counts


def test_a_claim_that_was_lost_within_the_hour_is_shown(there: Shell, database: Database) -> None:
    """With its last holder."""
    lost = place(database, Status.IN_PROGRESS, name="Log")
    expire(database, lost.id)
    (shown,) = [one for one in lines(there) if one.startswith("1 Log")]
    assert re.fullmatch(r"1 Log ada-1 held \d+ s, last sign \d+ s ago its lease has expired", shown)
    database.write_now(lease.reap)
    age(database, 5 * MINUTE)
    assert "1 Log ada-1 5 min ago" in lines(there)


def test_the_json_is_the_answer_of_the_tool(there: Shell, database: Database) -> None:
    """With times as ISO 8601, and the same database and counts as the statistics."""
    night(database)
    overview, stats = there.json("status"), there.json("stats")
    assert {name: overview[name] for name in ("project", "database", "counts", "total")} == {
        name: stats[name] for name in ("project", "database", "counts", "total")
    }
    assert [one["id"] for one in overview["claims"]] == [7]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", overview["claims"][0]["claimed_at"])


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_the_heading_is_the_folders_name(tmp_path: Path) -> None:
    """A file's only project has no name that somebody chose."""
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    shell = Shell(tmp_path / "shop")
    shell.dibs("add", "One", "--category", "c", "--description", "d", "--step", "s")
    assert lines(shell)[0] == "shop 0 % passing, 1 feature"


def test_texts_of_agents_are_data(there: Shell, database: Database) -> None:
    """No name draws, forges a line or is read as markup, and a stream in cp1252 escapes what it lacks."""
    evil = "[bold]x[/] :smile: \x1b[2J\nneeds you \u2603"
    for status in (Status.IN_PROGRESS, Status.STUCK, Status.NEEDS_HUMAN):
        alter(database, place(database, status).id, name=evil)
    alter(database, 1, claimed_by=evil)
    printed = there.dibs("status").stdout
    assert printed.count("[bold]x[/] :smile: \\x1b[2J\\nneeds you \u2603") == 4
    assert printed.splitlines().count("needs you") == 1
    assert "\x1b" not in printed
    with there.start("status", PYTHONIOENCODING="cp1252", PYTHONUTF8="0") as process:
        assert process.stdout is not None
        assert "\\u2603" in process.stdout.read()
    assert process.returncode == 0


@contextmanager
def watching(there: Shell, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Run `dibs status --watch` in a process of its own, and kill it at the end if it still runs."""
    process = there.start("status", "--watch", *flags)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_watch_prints_each_change_and_ends_at_ctrl_c(there: Shell, database: Database) -> None:
    """Into a pipe, one line of JSON for each change of facts, not of times; Ctrl-C is no failure."""
    (first,) = add(database)
    with watching(there, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["counts"] == {"ready": 1, "pending": 1}
        add(database)
        assert json.loads(process.stdout.readline())["counts"] == {"ready": 2, "pending": 2}
        finish(database, first)
        seen = [json.loads(process.stdout.readline())]
        while "passing" not in seen[-1]["counts"]:  # the claim may be a change of its own
            seen.append(json.loads(process.stdout.readline()))
        assert len(seen) <= 2
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
        assert (rest, errors, process.returncode) == ("", "", 0)


def test_watch_ends_when_its_reader_has_gone(there: Shell, database: Database) -> None:
    """Without a traceback, at the next change."""
    add(database)
    with watching(there) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        add(database)
        process.wait(timeout=30)
        assert process.stderr.read() == ""


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_watch_draws_on_a_terminal_and_gives_it_back(there: Shell, database: Database) -> None:
    """In 80 columns and without colour it shows a change by itself, and Ctrl-C restores the screen."""
    pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")
    import pty

    place(database, Status.IN_PROGRESS, name="Search")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(there.folder)
        environment = there.environment(COLUMNS="80", LINES="24", NO_COLOR="1", TERM="xterm")
        os.execve(sys.executable, [sys.executable, "-m", "dibs", "status", "--watch"], environment)
    seen = _until(terminal, b"Search")
    assert b"\x1b[?1049h" in seen
    place(database, Status.NEEDS_HUMAN, name="Colours")
    assert b"needs you" in _until(terminal, b"Colours")
    os.write(terminal, b"\x03")
    assert b"\x1b[?1049l" in _until(terminal, b"\x1b[?1049l")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def _until(terminal: int, wanted: bytes) -> bytes:
    """Read from a terminal until these bytes have come."""
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 4096)
    return seen
