"""`dibs top` shows agents at work, takes keys, acts as a person, and always gives the terminal back."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from cli.shells import Shell
from cli.terminal import PROMPT, Pty, Tmux, needs_tmux, tmux
from clusters.cluster import Cluster
from clusters.shared import fresh_database
from dibs.cli.status import moments
from dibs.database import Database, open_database
from dibs.platform.users import user_name
from dibs.settings import Settings
from dibs_schema.status import Kind, Status
from races.backlog import events_of, eventually, row
from races.servers import serving, up
from verbs.stage import add, alter, place

ADDRESS = {"TERM": "xterm-256color", "PYTHONUTF8": "1"}


@contextmanager
def watched(there: Shell, columns: int = 80, lines: int = 24) -> Iterator[Tmux]:
    """Run `dibs top` in a shell in tmux."""
    with tmux(there.folder, there.environment(), columns, lines) as shell:
        shell.type("dibs top", "Enter")
        shell.wait_for("q quit")
        yield shell


def on_pty(there: Shell, **environment: str) -> Pty:
    """Run `dibs top` on a pseudo-terminal, and wait until it has drawn."""
    command = [sys.executable, "-m", "dibs", "top"]
    run = Pty(command, there.folder, there.environment(**ADDRESS | environment))
    run.wait_for(b"q quit")
    return run


def ended(shell: Tmux) -> int:
    """Return the exit status of the last command in the shell, after it has given the terminal back."""
    shell.wait_for(PROMPT)
    shell.type("echo status-$?; stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo", "Enter")
    lines = shell.wait(lambda lines: "icanon" in lines and "echo" in lines)
    return int(next(line for line in lines if re.fullmatch(r"status-\d+", line)).partition("-")[2])


@needs_tmux
@pytest.mark.timeout(300)
def test_a_person_watches_agents_answers_and_frees(database: Database, there: Shell, db: str) -> None:
    """Real agents claim, ask and pass; an answer and a freed claim reach them; the events have the person's name."""
    first, second, third, _ = add(database, 4)
    with serving(db) as start, watched(there) as shell:
        ada, ben, cyd = up(*(start("--agent", name) for name in ("ada", "ben", "cyd")))
        asked = ada.call("feature_claim_and_get")
        taken = ben.call("feature_claim_and_get")
        passed = cyd.call("feature_claim_and_get")
        assert [one["feature"]["id"] for one in (asked, taken, passed)] == [first, second, third]
        shell.wait(lambda lines: sum("last sign" in line for line in lines) == 3)
        ada.call("feature_request_human_input", feature_id=first, prompt="Which \x1b[31mblue?")
        cyd.call("feature_mark_passing", feature_id=third)
        shell.wait_for("needs you")
        shell.wait(lambda lines: sum("last sign" in line for line in lines) == 1)
        shell.wait_for("pass ")

        shell.type("a")
        shell.wait_for("Answer:")
        shell.type("cobalt", "Enter")
        shell.wait_for("The answer is recorded")
        assert ada.call("feature_claim_and_get", feature_id=first)["feature"]["human_answer"]
        ada.call("feature_mark_passing", feature_id=first)

        shell.wait(lambda lines: sum("last sign" in line for line in lines) == 1)
        shell.type("f")
        shell.wait_for("held by ben")
        shell.type("n")
        shell.wait_for("Not freed.")
        assert row(database, second)["claimed_by"] == "ben"
        shell.type("f")
        shell.wait_for("held by ben")
        shell.type("y")
        shell.wait_for(f"Feature {second} is pending")
        refused = ben.refusal("feature_mark_passing", feature_id=second)
        assert refused is not None
        assert refused.code == "claim_lost"
        shell.wait_without("last sign")
        shell.type("q")
        assert ended(shell) == 0
    acts = {one["kind"]: one for feature in (first, second) for one in events_of(database, feature)}
    assert acts[Kind.ANSWER]["agent"] == user_name()
    assert (acts[Kind.RELEASE]["agent"], acts[Kind.RELEASE]["detail"]["forced"]) == (user_name(), True)


@needs_tmux
@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_it_filters_scrolls_and_fits_every_size(database: Database, there: Shell) -> None:
    """A filter leaves what contains the text; the chosen entry stays in sight; small terminals show less."""
    for number in range(20):
        place(database, Status.IN_PROGRESS, name=f"Search {number}")
    with watched(there) as shell:
        assert not shell.line("19"), "there is no room"
        assert shell.line("last events")
        shell.type(*["Down"] * 19)
        shell.wait_for("Search 18 ")
        shell.type("Home")
        shell.wait_without("Search 18 ")
        shell.type("/", "SEARCH 7")
        lines = shell.wait_without("Search 6")
        assert any("Search 7" in line for line in lines)
        shell.type("Enter", "f")
        shell.wait_for("Free 8 Search 7, held by ada-8")
        shell.type("Escape")
        shell.wait_for("Not freed.")
        shell.type("Escape")
        shell.wait_for("Search 6")
        for columns, height in ((40, 12), (20, 5), (10, 2), (200, 60), (80, 24)):
            shell.resize(columns, height)
            lines = shell.wait(partial(_is_drawn, height=height))
            assert all(len(line) <= columns for line in lines)
        assert shell.line("last events")
        shell.type("q")
        assert ended(shell) == 0


def _is_drawn(lines: list[str], height: int) -> bool:
    foot = [number for number, line in enumerate(lines) if "q quit" in line]
    return foot == [height - 1]


@needs_tmux
@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_stop_gives_the_terminal_back_and_goes_on(database: Database, there: Shell) -> None:
    """Ctrl-Z shows the shell as it was, `fg` draws again, and Ctrl-C ends it without failure."""
    place(database, Status.IN_PROGRESS, name="Search")
    with watched(there) as shell:
        shell.type("C-z")
        shell.wait_for("Stopped")
        assert not shell.line("at work")
        shell.type("stty -a | tr ' ;' '\\n\\n' | grep -x icanon", "Enter")
        shell.wait(lambda lines: "icanon" in lines)
        shell.type("fg", "Enter")
        shell.wait_for("at work")
        place(database, Status.IN_PROGRESS, name="Report")
        shell.wait_for("Report")
        shell.type("C-c")
        assert ended(shell) == 0


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)], ids=["TERM", "HUP", "INT"]
)
def test_a_signal_ends_it_and_the_terminal_is_as_before(
    database: Database, there: Shell, number: int, status: int
) -> None:
    """The modes and the screen are restored, and without colour no colour is sent."""
    place(database, Status.IN_PROGRESS, name="Search")
    run = on_pty(there, NO_COLOR="1")
    assert not termios.tcgetattr(run.terminal)[3] & termios.ICANON
    os.kill(run.pid, number)
    run.wait_for(b"\x1b[?1049l")
    eventually(lambda: termios.tcgetattr(run.terminal)[3] & termios.ICANON)
    assert run.status() == status
    assert run.seen.count(b"\x1b[?1049h") == run.seen.count(b"\x1b[?1049l") == 1
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-9]|9[0-7])m", run.seen), "a colour"
    assert "Traceback" not in run.text()


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_the_screen_is_left_before_a_traceback(tmp_path: Path) -> None:
    """An exception restores the terminal, and is then printed where one sees it."""
    script = (
        "from dibs.platform.terminal_screen import Screen\nwith Screen() as screen:\n    screen.draw(['x'])\n    1 / 0"
    )
    run = Pty([sys.executable, "-c", script], tmp_path, {**os.environ, **ADDRESS})
    assert run.status() == 1
    assert run.seen.index(b"\x1b[?1049l") < run.seen.index(b"ZeroDivisionError")


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_keys_arrive_whole(tmp_path: Path) -> None:
    """A sequence that comes in two parts is one key, Esc is a key of its own, and unknown ones are nothing."""
    script = (
        "from dibs.platform.terminal_screen import Screen\nseen = []\nwith Screen() as screen:\n"
        "    while 'q' not in seen:\n        screen.draw([f'<{len(seen)}>'])\n        seen += screen.keys(1)\nprint(seen)"
    )
    run = Pty([sys.executable, "-c", script], tmp_path, {**os.environ, **ADDRESS})
    run.wait_for(b"<0>")
    for number, part in enumerate(
        (b"\x1b[A", b"\x1b", b"\x1bOB\x1b[99;5ux", "ü".encode(), b"\r", b"\x1b[<0;1;1M\x7f"), 1
    ):
        run.type(part[:2])
        time.sleep(0.01)
        run.type(part[2:])
        run.wait_for(f"<{number + (number > 2)}>".encode())
    run.type(b"q")
    assert run.status() == 0
    assert "['up', 'escape', 'down', 'x', 'ü', 'enter', 'backspace', 'q']" in run.text()


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_texts_of_agents_do_not_reach_the_terminal_as_they_are(database: Database, there: Shell) -> None:
    """Escape sequences, bidirectional and control characters of every text are shown as escapes, also in the prompts."""
    evil = "x\x1b[2J\x9b31m\u202eabc\x07\n[bold]y"
    shown = r"x\x1b[2J\x9b31m\u202eabc\x07\n[bold]y"
    held, asked = place(database, Status.IN_PROGRESS), place(database, Status.NEEDS_HUMAN)
    fields = [{"id": "one", "label": evil, "type": "select", "options": [evil, "b"], "required": True}]
    alter(database, held.id, name=evil, claimed_by=evil)
    alter(database, asked.id, name=evil, human_request={"prompt": evil, "fields": fields})
    run = on_pty(there, COLUMNS="200")
    run.type(b"a")
    run.wait_for(b"b): ")
    run.interrupt(b"Not answered.")
    run.type(b"q")
    assert run.status() == 0
    assert run.text().replace("\r\n", "").count(shown.partition("31m")[0]) >= 4
    for forbidden in ("\u202e", "\x07", "\x9b"):
        assert forbidden not in run.seen.decode()
    assert run.seen.count(b"\x1b[2J") == run.seen.count(b"\x1b[?1049h"), "only its own"


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_what_is_no_terminal_is_refused(there: Shell, database: Database) -> None:
    """The refusal names the commands that print instead."""
    add(database)
    done = there.dibs("top")
    assert done.returncode == 2
    assert "`dibs status --watch`" in done.stderr
    run = Pty([sys.executable, "-m", "dibs", "top"], there.folder, there.environment(TERM="dumb"))
    assert run.status() == 2
    assert "TERM=dumb" in run.text()
    assert b"\x1b" not in run.seen


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_refusal_is_said_in_its_own_words(there: Shell, database: Database) -> None:
    """A role without the operation may look, and is refused when it acts."""
    place(database, Status.IN_PROGRESS, name="Search")
    run = on_pty(there, DIBS_ROLE="viewer", COLUMNS="200")
    run.type(b"f")
    run.wait_for(b"y/n")
    run.type(b"y")
    run.wait_for(b"is not for the role viewer")
    run.type(b"q")
    assert run.status() == 0
    assert row(database, 1)["status"] == Status.IN_PROGRESS


@needs_tmux
@pytest.mark.only_on("sqlite", reason="a file is moved away")
def test_a_file_that_has_gone_is_reported_until_it_is_back(there: Shell, database: Database, db: str) -> None:
    """The last moment stays on the screen, with how long it is not connected, and then it goes on."""
    place(database, Status.IN_PROGRESS, name="Search")
    database.close(patience=5)
    file, away = Path(db), Path(db).with_name("away")
    with watched(there) as shell:
        file.rename(away)
        shell.wait_for("Not connected for")
        assert any("Search" in line for line in shell.lines())
        away.rename(file)
        shell.wait_without("Not connected for")
        again = open_database(Settings(db=db))
        place(again, Status.IN_PROGRESS, name="Report")
        shell.wait_for("Report")
        again.close(patience=5)
        shell.type("q")
        assert ended(shell) == 0


@needs_tmux
@pytest.mark.only_on("postgresql", reason="a server is stopped")
def test_a_server_that_stops_is_reported_until_it_is_back(tmp_path: Path) -> None:
    """Without the backlog one can still scroll and quit."""
    with Cluster(tmp_path / "server") as cluster, fresh_database(cluster) as db:
        database = open_database(Settings(db=db))
        place(database, Status.IN_PROGRESS, name="Search")
        (tmp_path / "shop").mkdir()
        with watched(Shell(tmp_path / "shop", {"DIBS_DB": db, "DIBS_PROJECT": "default"})) as shell:
            cluster.stop("immediate")
            shell.wait_for("Not connected for")
            cluster.start()
            shell.wait_without("Not connected for")
            eventually(lambda: _placed(database), 30)
            shell.wait_for("Report")
            shell.type("q")
            assert ended(shell) == 0
        database.close(patience=5)


def _placed(database: Database) -> bool:
    from dibs_schema.refusals import Unavailable

    try:
        place(database, Status.IN_PROGRESS, name="Report")
    except Unavailable:
        return False
    return True


@pytest.mark.timing
def test_a_busy_backlog_is_read_twice_a_second_and_a_quiet_one_is_left_alone(database: Database) -> None:
    """What is read is shown until something changes, or a lease may have run out."""
    reads: list[float] = []

    async def watch(seconds: float, *, busy: bool) -> None:
        reads.clear()
        began = time.monotonic()
        async for _ in moments(database, lambda tx: reads.append(time.monotonic())):
            if busy:
                await database.write(_touch)
            if time.monotonic() - began > seconds:
                return

    def _touch(tx: Any) -> None:
        from dibs.rules.events import record

        record(tx, "ann", Kind.NOTE, one, note="x")

    (one,) = add(database)
    anyio.run(partial(watch, 3.0, busy=True))
    assert 3 <= len(reads) <= 8
    assert all(later - earlier >= 0.45 for earlier, later in pairwise(reads))
    anyio.run(partial(watch, 3.0, busy=False))
    assert len(reads) == 1
