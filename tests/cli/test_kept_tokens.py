"""The claims of a shell: their tokens, their leases, and the end of the shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.shells import Shell
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.claim import mark_in_progress
from dibs_schema.status import Status
from races.locks import held
from verbs.stage import add, expire, named, place, row, rule

LOOP = Path(__file__).parents[2] / "examples" / "loop.sh"


@pytest.fixture
def ada(there: Shell) -> Shell:
    """The shell of an agent with a name."""
    return Shell(there.folder, {**there.settings, "DIBS_AGENT": "ada"})


@contextmanager
def backlog(shell: Shell) -> Iterator[Database]:
    """The shell's backlog, for set-up and checks."""
    opened = open_database(Settings(db=shell.db))
    opened.write_now(lambda _: None)  # so that the backlog exists
    try:
        yield opened
    finally:
        opened.close(5)


def kept(shell: Shell) -> list[Path]:
    """Return the files of tokens of the shell's backlog."""
    home = shell.folder if "://" in shell.db else Path(shell.db).parent
    return sorted(one for one in (home / ".dibs" / "tokens").glob("*/*") if one.is_file())


def test_a_named_agents_token_is_kept_for_its_user_alone(ada: Shell) -> None:
    """A claim's token is in one file of mode 600, in folders of mode 700 that git ignores."""
    with backlog(ada) as database:
        add(database)
    token = ada.json("claim")["claim"]["token"]
    (file,) = kept(ada)
    assert file.read_text(encoding="utf-8") == token
    assert token not in str(file)
    assert [one.stat().st_mode & 0o777 for one in (file, file.parent, file.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert (file.parents[2] / ".gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize("end", [["pass"], ["fail", "no"], ["skip", "no"], ["release"], ["ask", "What?"]])
def test_a_token_goes_with_its_claim(ada: Shell, end: list[str]) -> None:
    """The agent that claimed needs no token to end its claim, and no stored token is left."""
    with backlog(ada) as database:
        (one,) = add(database)
    ada.json("claim")
    ada.json(end[0], one, *end[1:])
    assert kept(ada) == []


def test_without_a_name_the_token_is_sent(there: Shell) -> None:
    """Without a name no token is stored: --token or DIBS_TOKEN is required."""
    with backlog(there) as database:
        one, other = add(database, 2)
    token, second = (there.json("claim")["claim"]["token"] for _ in range(2))
    assert kept(there) == []
    assert there.json("pass", one, status=1)["error"]["code"] == "token_required"
    assert there.json("pass", one, "--token", token, DIBS_TOKEN="wrong")["status"] == "passing"
    assert there.json("pass", other, DIBS_TOKEN=second.upper())["status"] == "passing"


def test_a_sent_token_comes_before_the_kept_one(ada: Shell) -> None:
    """A given token is used, even if another token is stored."""
    with backlog(ada) as database:
        (one,) = add(database)
    ada.json("claim")
    assert ada.json("fail", one, "no", "--token", "wrong", status=1)["error"]["code"] == "claim_lost"
    assert ada.json("pass", one)["status"] == "passing"


def test_a_lost_claim_is_known_until_the_next_one(ada: Shell) -> None:
    """A late failure of a lost claim never reports a regression of another agent's pass."""
    with backlog(ada) as database:
        one, _ = add(database, 2)
        ada.json("claim")
        expire(database, one)
        ada.json("claim", one, DIBS_AGENT="bob")
        ada.json("pass", one, DIBS_AGENT="bob")
        for _ in range(2):
            assert ada.json("fail", one, "no", status=1)["error"]["code"] == "claim_lost"
        assert row(database, one)["status"] == "passing"
        ada.json("claim")
        assert len(kept(ada)) == 1
        assert ada.json("fail", one, "It broke.")["status"] == "pending"


def test_shells_that_share_a_name_leave_a_good_token(ada: Shell) -> None:
    """Four shells of one name resume one claim at once; the last token can pass it."""
    with backlog(ada) as database:
        (one,) = add(database)
    ada.json("claim")
    racing = [ada.start("claim", "--resume", "--json") for _ in range(4)]
    told = [process.communicate(timeout=60) for process in racing]
    assert [process.returncode for process in racing] == [0] * 4, told
    assert len({json.loads(out)["claim"]["token"] for out, _ in told}) == 4
    assert ada.json("heartbeat", one)["status"] == "in_progress"
    assert ada.json("pass", one)["status"] == "passing"
    ada.json("claim", status=4)


def test_an_agent_holds_as_many_claims_as_it_may(ada: Shell) -> None:
    """With max_claims 2, each feature has its own stored token."""
    with backlog(ada) as database:
        add(database, 3)
        rule(database, max_claims="2")
    ids = [ada.json("claim")["feature"]["id"] for _ in range(2)]
    assert ada.json("claim", status=1)["error"]["code"] == "already_holding"
    assert [ada.json("pass", one)["status"] for one in reversed(ids)] == ["passing"] * 2


def test_a_token_that_cannot_be_kept_is_told(ada: Shell) -> None:
    """If `.dibs/tokens` cannot be created, the claim stays, and a warning names the next step."""
    with backlog(ada) as database:
        (one,) = add(database)
    home = ada.folder if "://" in ada.db else Path(ada.db).parent
    (home / ".dibs").mkdir()
    (home / ".dibs" / "tokens").write_text("in the way", encoding="utf-8")
    done = ada.dibs("claim", "--json")
    assert (done.returncode, "--token" in done.stderr) == (0, True)
    assert ada.json("pass", one, "--token", json.loads(done.stdout)["claim"]["token"])["status"] == "passing"


def test_a_shells_claim_lasts_for_the_detached_lease(ada: Shell) -> None:
    """The lease is DIBS_DETACHED_LEASE, and heartbeat and note renew it."""
    with backlog(ada) as database:
        (one,) = add(database)
        ada.json("claim", "--brief", one, DIBS_DETACHED_LEASE="900")
        assert row(database, one)["lease_seconds"] == 900
        ends = row(database, one)["lease_ends"]
        for command in (["heartbeat", one], ["note", one, "At it."]):
            ada.json(*command)
            now = row(database, one)["lease_ends"]
            assert now > ends
            ends = now
        ada.json("release", one)
        ada.json("claim")
        assert row(database, one)["lease_seconds"] == 1800


def test_a_claim_takes_over_what_has_run_out(ada: Shell) -> None:
    """A claim from a shell reaps first, as a server's does."""
    with backlog(ada) as database:
        (one,) = add(database)
        ada.json("claim", DIBS_AGENT="bob")
        expire(database, one)
    assert ada.json("claim")["feature"]["attempts"] == 2


def test_the_same_request_gives_the_same_claim(ada: Shell) -> None:
    """--request-id makes a claim and an addition repeatable."""
    with backlog(ada) as database:
        add(database, 2)
    first, again = (ada.json("claim", "--request-id", "r1")["claim"]["token"] for _ in range(2))
    assert first == again
    new = ("Third", "--category", "c", "--description", "d", "--step", "s", "--request-id", "r2")
    assert ada.json("add", *new) == ada.json("add", *new)


def test_the_status_says_why_there_is_nothing(ada: Shell) -> None:
    """Status 4: empty or complete. 5: a person must act. 3: work may come. 75: repeat the call."""
    with backlog(ada) as database:
        assert ada.json("claim", status=4)["state"] == "empty"
        one, other = add(database, 2)
        ada.json("claim")
        assert ada.json("claim", other, status=1)["error"]["code"] == "already_holding"
        ada.json("fail", one, "no")
        assert ada.json("claim", one, status=75)["error"]["code"] == "not_ready"
        ada.json("claim")
        assert ada.json("claim", status=3, DIBS_AGENT="bob")["state"] == "waiting_for_claims"
        ada.json("pass", other)
        ada.json("update", one, "--archive")
        stuck, asking = (place(database, status).id for status in (Status.STUCK, Status.NEEDS_HUMAN))
        assert ada.json("claim", status=5)["state"] == "waiting_for_human"
        ada.json("update", asking, "--archive")
        assert ada.json("claim", status=5)["state"] == "stuck"
        ada.json("update", stuck, "--archive")
        done = ada.dibs("claim", "--id")
        assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.parametrize(
    "words",
    [["claim", "--resume"], ["claim", "--id"], ["claim", "--brief"], ["claim", "1", "--brief", "--wait", "3"],
     ["depend", "1"], ["depend", "1", "2", "--remove", "--only"], ["ask-user"], ["ask", "1", "?", "--field", "x"],
     ["claim", "0"], ["add", "", "--category", "c", "--description", "d", "--step", "s"]],
)  # fmt: skip
def test_a_call_that_makes_no_sense_is_refused(there: Shell, words: list[str]) -> None:
    """An invalid call is refused by name, with status 2, before anything is done."""
    assert there.json(*words, status=2)["error"]["code"] == "invalid_input"


def until_it_listens(pid: int) -> None:
    """Wait until a process has a handler for SIGTERM, as its wait begins after that. Source: proc(5), SigCgt."""
    caught = re.compile(r"^SigCgt:\s*([0-9a-f]+)", re.MULTILINE)
    while found := caught.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii")):
        if int(found[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_and_leaves_no_claim(ada: Shell, number: signal.Signals) -> None:
    """A signal ends a waiting claim at once, with status 128 plus its number, and no claim is left."""
    with backlog(ada) as database:
        waiting = ada.start("claim", "--wait", "60")
        until_it_listens(waiting.pid)
        waiting.send_signal(number)
        out, err = waiting.communicate(timeout=30)
        assert (waiting.returncode, out) == (128 + number, ""), err
        (one,) = add(database)
        assert row(database, one)["status"] == "pending"
    assert kept(ada) == []


def test_a_signal_ends_a_claim_that_waits_for_the_database(ada: Shell) -> None:
    """A claim that has not begun when the signal arrives is never made."""
    with backlog(ada) as database:
        (one,) = add(database)
        with held("queue", ada.db):
            claiming = ada.start("claim")
            until_it_listens(claiming.pid)
            claiming.terminate()
            out, err = claiming.communicate(timeout=30)
        assert (claiming.returncode, out) == (128 + signal.SIGTERM, ""), err
        assert (row(database, one)["status"], row(database, one)["attempts"]) == ("pending", 0)


def test_a_waiting_shell_gets_what_comes(ada: Shell) -> None:
    """--wait ends with the first feature that becomes ready."""
    with backlog(ada) as database:
        waiting = ada.start("claim", "--wait", "60", "--json")
        until_it_listens(waiting.pid)
        (one,) = add(database)
    out, err = waiting.communicate(timeout=60)
    assert json.loads(out)["feature"]["id"] == one, err
    assert ada.json("pass", one)["status"] == "passing"


def test_a_claim_that_nobody_reads_is_given_back(ada: Shell) -> None:
    """If the answer cannot be written, the claim is undone and counts as no attempt."""
    with backlog(ada) as database:
        (one,) = add(database)
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "dibs", "claim"]
        done = subprocess.run(
            command,
            cwd=ada.folder,
            env=ada.environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        assert done.returncode != 0
        assert (row(database, one)["status"], row(database, one)["attempts"]) == ("pending", 0)
    assert kept(ada) == []


def looping(shell: Shell, name: str, *command: str, **settings: str) -> subprocess.Popen[str]:
    """Start `examples/loop.sh` in the folder, with `dibs` on PATH, for the named agent."""
    bin_ = shell.folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "dibs").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dibs "$@"\n', encoding="utf-8")
    (bin_ / "dibs").chmod(0o755)
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [shutil.which("sh") or "sh", str(LOOP), *command],
        cwd=shell.folder,
        env=shell.environment(PATH=path, DIBS_AGENT=name, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.only_on("sqlite", reason="the loop knows nothing of engines")
def test_a_loop_ends_where_only_a_person_can_go_on(there: Shell) -> None:
    """If only stuck or waiting features are left, it waits once, prints them, and exits with status 0."""
    with backlog(there) as database:
        add(database)
        place(database, Status.NEEDS_HUMAN)
    loop = looping(there, "ada", "true", WAIT="1")
    _, errors = loop.communicate(timeout=60)
    assert loop.returncode == 0
    assert "The remaining features wait for a person" in errors
    with backlog(there) as database:
        assert row(database, 1)["status"] == "passing"


@pytest.mark.only_on("sqlite", reason="the loop knows nothing of engines")
def test_a_signal_ends_a_loop_that_waits_for_work(there: Shell) -> None:
    """SIGTERM ends the waiting claim and the loop at once, with status 143, and no claim is left."""
    with backlog(there) as database:
        (one,) = add(database)
        database.write_now(lambda tx: mark_in_progress(tx, named("bob"), one))
    loop = looping(there, "ada", "true", TMPDIR=str(there.folder))
    children = Path(f"/proc/{loop.pid}/task/{loop.pid}/children")
    while not (found := [int(pid) for pid in children.read_text(encoding="ascii").split() if is_dibs(int(pid))]):
        time.sleep(0.05)
    until_it_listens(found[0])
    began = time.monotonic()
    loop.terminate()
    _, errors = loop.communicate(timeout=40)
    assert (loop.returncode, errors) == (143, "")
    assert time.monotonic() - began < 20, "the claim would have waited for 45"
    assert not is_dibs(found[0])
    assert list(there.folder.glob("tmp.*")) == [], "the file for the claim's number is gone"


def is_dibs(pid: int) -> bool:
    """Return whether a process exists and runs `dibs claim`."""
    try:
        return b"dibs\0claim" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.only_on("sqlite", reason="the loop knows nothing of engines, and starts many processes")
def test_two_loops_build_everything_once(there: Shell) -> None:
    """Two loops that were given the same name build each feature once, retry a failure, and end."""
    with backlog(there) as database:
        ids = add(database, 5)
        rule(database, back_off="1")
    # The third fails the first time.
    (there.folder / "build").write_text(
        'echo "$FEATURE" >> built\n[ "$FEATURE" != 3 ] || ! mkdir tried 2>/dev/null\n', encoding="utf-8"
    )
    loops = [looping(there, name, "sh", "build") for name in ("ada", "ada")]
    told = [loop.communicate(timeout=110) for loop in loops]
    assert [loop.returncode for loop in loops] == [0, 0], told
    built = sorted(int(line) for line in (there.folder / "built").read_text(encoding="utf-8").split())
    assert built == sorted([*ids, 3])
    with backlog(there) as database:
        assert {row(database, one)["status"] for one in ids} == {"passing"}


def test_a_shell_hands_a_claim_to_an_agent(ada: Shell, there: Shell) -> None:
    """`--print-token` prints the token alone. With it as DIBS_CLAIM a shell has that claim, needs no token, and no other."""
    with backlog(ada) as database:
        one, other = add(database, 2)
    assert ada.dibs("claim", "--id").stdout == f"{one}\n"
    token = ada.dibs("claim", "--print-token", one).stdout.strip()
    with backlog(ada) as database:
        assert row(database, one)["claim_token"] == token
    assert ada.dibs("claim", "--brief", "--print-token", one).stdout == f"{token}\n"
    again = there.json("claim", DIBS_CLAIM=token)
    assert (again["feature"]["id"], again["already_claimed"], again["claim"]["token"]) == (one, True, token)
    assert there.dibs("claim", "--id", DIBS_CLAIM=token).stdout == f"{one}\n"
    assert "--token" not in there.dibs("claim", DIBS_CLAIM=token).stdout
    assert there.json("claim", other, status=1, DIBS_CLAIM=token)["error"]["code"] == "forbidden"
    assert there.json("claim", other, "--brief", status=1, DIBS_CLAIM=token)["error"]["code"] == "forbidden"
    assert there.json("heartbeat", one, DIBS_CLAIM=token)["status"] == "in_progress"
    assert there.json("pass", one, DIBS_CLAIM=token)["status"] == "passing"
    assert there.json("claim", status=1, DIBS_CLAIM=token)["error"]["code"] == "forbidden"
    assert ada.json("release", one, status=1)["error"]["code"] == "claim_lost"


def test_over_http_no_claim_is_adopted(there: Shell) -> None:
    """A server of many clients refuses the claim of one, and does not print it."""
    refused = there.dibs("serve", "--http", "0", DIBS_CLAIM="0123456789abc")
    assert refused.returncode == 2
    assert "leave out --claim and DIBS_CLAIM" in refused.stderr
    assert "0123456789abc" not in refused.stderr
