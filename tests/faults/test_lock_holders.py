"""A call that is refused as busy says who kept it waiting: another program, or an earlier call to the same server."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing

import psycopg
import pytest

from dibs.database import Database, open_database
from dibs.database.postgres.lock_holders import session_name
from dibs.database.transaction import Transaction
from dibs.platform.lock_table import LOCKS, process_name
from dibs.settings import Settings
from dibs_schema.refusals import Busy
from faults.servers import sessions, until_one_waits
from races.backlog import eventually, fill
from races.locks import held, name_of

PATIENCE = 0.5


@pytest.fixture
def impatient(db: str) -> Iterator[Database]:
    """A database with little patience; the backlog has one feature."""
    with closing(open_database(Settings(db=db, patience=PATIENCE))) as opened:
        fill(opened, 1)
        yield opened


def test_an_earlier_call_to_the_same_server_is_named(impatient: Database) -> None:
    """A call that waits in this process's own queue does not blame other writers."""
    entered, leave = threading.Event(), threading.Event()

    def write_for_long(_: Transaction) -> None:
        entered.set()
        assert leave.wait(20)

    with ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(impatient.write_now, write_for_long, 20)
        try:
            assert entered.wait(20)
            with pytest.raises(
                Busy, match=r"An earlier call to this server, .*, has been writing for \d+\.\d s"
            ) as busy:
                impatient.write_now(lambda _: None)
        finally:
            leave.set()
        earlier.result()
    assert busy.value.details == {"holder": f"pid {os.getpid()} (this server)"}
    impatient.write_now(lambda _: None)


@pytest.mark.only_on("postgresql", reason="nobody waits for a row of a file")
def test_a_call_that_had_begun_names_whom_it_waited_for(db: str, impatient: Database) -> None:
    """A lock of a single row, which a call meets in the middle, is named, too."""
    lock = "SELECT id FROM features WHERE id = 1 FOR UPDATE"
    with psycopg.connect(db, application_name="by hand") as foreign:
        foreign.execute(lock)
        with pytest.raises(Busy, match="It waited for pid") as busy:
            impatient.write_now(lambda tx: tx.connection.exec_driver_sql(lock).all())
        name = session_name(foreign.info.backend_pid, foreign.info.user, "by hand")
        assert re.fullmatch(re.escape(name) + r"( at \S+)? for \d+ s", busy.value.details["holder"])


@pytest.mark.only_on("postgresql", reason="the kernel names the head of a file's queue")
def test_the_holder_is_named_and_not_another_that_waits(db: str, impatient: Database) -> None:
    """Of several that wait for one row, each names the session at the end of the chain."""
    with held("queue", db) as foreign, ThreadPoolExecutor(1) as pool:
        named = name_of(foreign, db)
        assert named is not None
        with closing(open_database(Settings(db=db, patience=20))) as patient:
            first = pool.submit(patient.write_now, lambda _: None)
            until_one_waits(db)
            with pytest.raises(Busy) as busy:
                impatient.write_now(lambda _: None)
            assert re.fullmatch(named, busy.value.details["holder"])
            assert foreign.stdin is not None
            foreign.stdin.close()
            first.result()
    eventually(lambda: not sessions(db, "wait_event_type = 'Lock'"))


@pytest.mark.only_on("sqlite", reason="a server lets everybody in")
@pytest.mark.skipif(not LOCKS.exists(), reason="the kernel does not list locks here")
def test_a_program_that_has_locked_the_whole_file_is_named(new_db: Callable[[], AbstractContextManager[str]]) -> None:
    """A database that cannot even be opened names the process that keeps it."""
    with new_db() as db, held("whole", db) as foreign:
        name = process_name(foreign.pid)
        with pytest.raises(Busy) as busy:
            open_database(Settings(db=db)).read_now(lambda _: None)
    assert busy.value.details == {"holder": name}
    assert name in busy.value.message
