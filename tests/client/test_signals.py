"""SIGTERM, SIGHUP and Ctrl-C end a program at once, and leave no claim."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from client.listening import served
from dibs.client import SyncBacklog

pytestmark = pytest.mark.only_on("sqlite", reason="it looks at signals, which no engine sees")


def fill(backlog: SyncBacklog, count: int) -> None:
    """Create features."""
    for number in range(1, count + 1):
        backlog.create("core", f"feature {number}", "what it does", ["look"])


@pytest.fixture
def backlog(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[tuple[str, SyncBacklog]]:
    """A database, and a backlog on it."""
    with new_db() as db, SyncBacklog.open(db=db) as opened:
        yield db, opened


@contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and wait until it prints `ready`."""
    command = [sys.executable, "-c", text, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running
        running.kill()


ASYNC = """
import asyncio, sys
from dibs.client import Backlog

async def main():
    async with Backlog.{way} as backlog, backlog.claim(1, agent="ada"):
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
SYNC = """
import sys, time
from dibs.client import SyncBacklog

with SyncBacklog.{way} as backlog, SyncBacklog.{way} as second:
    backlog.take(1, agent="ada")
    second.take(2, agent="bob")
    print("ready", flush=True)
    {wait}
"""
WAITS = ["time.sleep(60)", 'second.take(category="never", agent="cyd", wait_seconds=40)']
OPEN, CONNECT = "open(db=sys.argv[1])", "connect(sys.argv[1])"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (ASYNC.format(way=OPEN), signal.SIGTERM),
        (SYNC.format(way=OPEN, wait=WAITS[0]), signal.SIGHUP),
        (SYNC.format(way=OPEN, wait=WAITS[1]), signal.SIGTERM),
        (SYNC.format(way="start(db=sys.argv[1])", wait=WAITS[0]), signal.SIGTERM),
    ],
    ids=["async", "sync", "waiting", "start"],
)
def test_a_program_that_a_signal_ends_releases_its_claims(
    text: str, number: signal.Signals, backlog: tuple[str, SyncBacklog]
) -> None:
    """The claims are released, and the signal ends the program silently, as without Dibs."""
    db, mine = backlog
    fill(mine, 2)
    with program(text, db) as running:
        began = time.monotonic()
        running.send_signal(number)
        assert running.communicate(timeout=20) == ("", "")
        assert running.returncode == -number
        assert time.monotonic() - began < 5
    ends = time.monotonic() + 10  # a server process sees the end of its input a little later
    while mine.stats().counts.in_progress and time.monotonic() < ends:
        time.sleep(0.05)
    assert mine.stats().counts.ready == 2


@pytest.mark.parametrize("text", [ASYNC, SYNC.replace("{wait}", WAITS[0])], ids=["async", "sync"])
def test_a_signal_releases_claims_over_http_too(text: str, backlog: tuple[str, SyncBacklog]) -> None:
    """A lease of half an hour does not outlive a program that SIGTERM has ended."""
    db, mine = backlog
    fill(mine, 2)
    with served(db) as url, program(text.format(way=CONNECT), url) as running:
        running.send_signal(signal.SIGTERM)
        assert running.communicate(timeout=20) == ("", "")
    assert mine.stats().counts.ready == 2


OWN = """
import signal, sys, time
from dibs.client import SyncBacklog

signal.signal(signal.SIGTERM, lambda *_: sys.exit("mine"))
with SyncBacklog.open(db=sys.argv[1]) as backlog, backlog.claim(1):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_programs_own_handler_stays_alone(backlog: tuple[str, SyncBacklog]) -> None:
    """A program that handles SIGTERM itself ends as it says."""
    db, mine = backlog
    fill(mine, 1)
    with program(OWN, db) as running:
        running.terminate()
        assert running.communicate(timeout=20) == ("", "mine\n")
        assert running.returncode == 1
    assert mine.stats().counts.ready == 1


def test_the_handlers_end_with_the_backlog(backlog: tuple[str, SyncBacklog]) -> None:
    """A closed backlog leaves the handlers as they were, in whatever order two are closed."""
    db, _ = backlog
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with SyncBacklog.open(db=db), SyncBacklog.open(db=db):
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before


WORKERS = """
import signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from dibs.client import NothingToClaim, SyncBacklog

signal.signal(signal.SIGTERM, signal.default_int_handler)
building = threading.Barrier(4)

def work(backlog):
    while True:
        try:
            with backlog.claim(wait_seconds=5):
                building.wait()
                time.sleep(1)  # a build that does not notice the signal
        except NothingToClaim as nothing:
            if nothing.is_final:
                return

def follow(backlog):
    for event in backlog.follow():
        pass

with SyncBacklog.open(db=sys.argv[1]) as backlog:
    follower = threading.Thread(target=follow, args=(backlog,))
    follower.start()
    with ThreadPoolExecutor() as threads:
        for _ in range(3):
            threads.submit(work, backlog)
        waiting = threads.submit(backlog.take, category="never", wait_seconds=40)
        building.wait()
        building = threading.Barrier(1)
        print("ready", flush=True)
"""


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_in_threads_stop_at_an_interrupt(number: signal.Signals, backlog: tuple[str, SyncBacklog]) -> None:
    """Ctrl-C releases what other threads hold, ends their waits, and they claim nothing more; followers end too."""
    db, mine = backlog
    fill(mine, 20)
    with program(WORKERS, db) as running:
        began = time.monotonic()
        running.send_signal(number)
        while mine.stats().counts.in_progress:
            time.sleep(0.01)
        assert time.monotonic() - began < 0.9, "the builds went on"
        _, errors = running.communicate(timeout=20)
        assert time.monotonic() - began < 5
    assert errors.endswith("KeyboardInterrupt\n")
    assert errors.count("Traceback") == 1, errors
    assert mine.stats().counts.ready == 20
