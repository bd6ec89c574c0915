"""The backlog for code without an event loop."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing

import pytest

from dibs.client import NothingToClaim, ServerGone, SyncBacklog
from dibs_schema.refusals import NotFound

pytestmark = pytest.mark.only_on("sqlite", reason="it waits for the calls of a Backlog, whatever the engine")

TEXTS = ("core", "a feature", "what it does", ["look"])


@pytest.fixture(scope="module")
def db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database of the module's backlog."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
def backlog(db: str) -> Iterator[SyncBacklog]:
    """A backlog that waits for its answers."""
    with SyncBacklog.open(db=db) as opened:
        yield opened


def new(backlog: SyncBacklog) -> int:
    """Create a feature, and return its id."""
    return backlog.create(*TEXTS, allow_duplicates=True).ids[0]


def test_blocks_end_as_they_do_with_an_event_loop(backlog: SyncBacklog) -> None:
    """The end of the block passes the feature; an exception fails it and propagates."""
    feature = new(backlog)
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as raised, backlog.claim(feature):
        raise error
    assert raised.value is error
    assert backlog.get(feature).last_failure == "ValueError: no"
    other = new(backlog)
    with backlog.claim(other) as held:
        held.evidence = "seen"
        assert backlog.holds(other, held.claim.token)
    assert backlog.get(other).evidence == {"summary": "seen"}


def test_refusals_are_raised_where_the_call_was_made(backlog: SyncBacklog) -> None:
    """A refusal is raised as its class in the caller's thread."""
    with pytest.raises(NotFound):
        backlog.get(10**6)
    with pytest.raises(NothingToClaim), backlog.claim(category="nowhere"):
        pytest.fail("there is nothing")


def test_threads_share_one_object(backlog: SyncBacklog) -> None:
    """Eight threads that claim through one object get eight features."""
    for _ in range(8):
        new(backlog)

    def work(_: int) -> int:
        with backlog.claim() as held:
            return held.id

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(work, range(8)))
    assert len(set(done)) == 8
    assert {backlog.get(feature).status for feature in done} == {"passing"}


def test_the_journal_is_an_iterator(backlog: SyncBacklog) -> None:
    """The stream begins after its cursor, and may be left at any time."""
    feature = new(backlog)
    with closing(backlog.follow("0-0")) as events:
        found = next(event for event in events if event.feature == feature)
    assert found.kind == "create"


@pytest.mark.filterwarnings("error")
def test_a_following_thread_ends_with_the_backlog(db: str) -> None:
    """A stream that waits for the next event ends without an error when the backlog is closed."""
    with ThreadPoolExecutor(1) as threads:
        with SyncBacklog.open(db=db) as backlog:
            feature = new(backlog)
            events = backlog.follow("0-0")
            next(event for event in events if event.feature == feature)
            following = threads.submit(list, events)
        assert following.result(20) == []


@pytest.mark.filterwarnings("error")
def test_a_closed_backlog_says_so(db: str) -> None:
    """Calls after the block, and calls that wait at its end, raise ServerGone without warnings."""
    with ThreadPoolExecutor(1) as threads:
        with SyncBacklog.open(db=db) as backlog:
            waiting = threads.submit(backlog.take, category="never", wait_seconds=30)
            backlog.stats()
            events = backlog.follow()
        with pytest.raises(ServerGone, match="this backlog is closed"):
            waiting.result(20)
    late: list[Callable[[], object]] = [
        backlog.stats,
        lambda: next(events),
        backlog.claim().__enter__,
    ]
    for call in late:
        with pytest.raises(ServerGone, match="this backlog is closed"):
            call()
    gc.collect()


PROGRAM = """
import sys
import time
from dibs.client import SyncBacklog

with SyncBacklog.open(db=sys.argv[1]) as backlog:
    backlog.stats()
    try:
        print("ready", flush=True)
        with backlog.claim(category="late", wait_seconds=30):
            print("claimed", flush=True)
    except KeyboardInterrupt:
        made = backlog.create("late", "a feature", "what it does", ["look"])
        time.sleep(0.6)  # longer than a claim that still waits would take to see it
        print(backlog.get(made.ids[0]).status, flush=True)
"""


def test_an_interrupt_takes_a_waiting_claim_back(db: str) -> None:
    """Ctrl-C ends the wait at once, and a feature that becomes ready later stays unclaimed."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, db], stdout=subprocess.PIPE, text=True)
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        time.sleep(0.3)  # it waits by then; a slower call is interrupted earlier, and ends in the same way
        began = time.monotonic()
        os.kill(program.pid, signal.SIGINT)
        assert program.stdout.read() == "pending\n"
    assert program.returncode == 0
    assert time.monotonic() - began < 20, "the wait went on"


STORM = """
import os
import signal
import sys
import threading
import time
from dibs.client import SyncBacklog

with SyncBacklog.open(db=sys.argv[1]) as backlog:
    for number in range(5):
        backlog.create("storm", f"feature {number}", "what it does", ["look"])
    for moment in range(30):
        timer = threading.Timer(moment / 2_000, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            with backlog.claim(category="storm"):
                time.sleep(10)
        except KeyboardInterrupt:
            pass
        timer.join()
    ends = time.monotonic() + 5
    while backlog.stats().counts.in_progress and time.monotonic() < ends:
        time.sleep(0.05)
    print(backlog.stats().counts.in_progress, flush=True)
"""


def test_an_interrupt_leaves_no_claim_wherever_it_comes(db: str) -> None:
    """Ctrl-C before, during and after the claim leaves no claim."""
    command = [sys.executable, "-c", STORM, db]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "0\n", done.stderr


FORKING = """
import os
import sys
from dibs.client import SyncBacklog

with SyncBacklog.open(db=sys.argv[1]) as backlog:
    backlog.stats()
    child = os.fork()
    if child == 0:
        try:
            backlog.stats()
        except RuntimeError as error:
            os._exit(7 if "fork" in str(error) else 1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), backlog.stats().total >= 0)
"""


def test_a_fork_is_told_to_open_its_own(db: str) -> None:
    """A forked child gets an error instead of waiting forever, and the parent continues."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING, db]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "7 True\n", done.stderr
