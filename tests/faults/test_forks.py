"""After a fork, the client and the database refuse to work in the child, and the parent is unharmed."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.refusals import Busy
from races.backlog import assert_sound, fill, kinds, rule

TESTS = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def in_a_fork(work: Callable[[], object]) -> str:
    """Return the result of `work` in a forked child, or its error as text."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def run() -> None:
        try:
            there.send(str(work()))
        except RuntimeError as error:
            there.send(f"refused: {error}")

    child = context.Process(target=run)
    child.start()
    there.close()
    try:
        assert here.poll(20), "the child hangs"
        said = str(here.recv())
    finally:
        child.join(5)
        if child.is_alive():
            child.kill()
    assert child.exitcode == 0
    return said


def test_a_fork_may_not_use_its_parents_database(database: Database) -> None:
    """Reads and writes of the child are refused at once, and those of the parent continue."""
    fill(database, 2)
    for use in (
        lambda: database.read_now(lambda _: None),
        lambda: database.write_now(lambda _: None),
        lambda: asyncio.run(database.write(lambda _: None)),
    ):
        assert (
            in_a_fork(use) == "refused: a database connection does not survive a fork: open the database in the child"
        )
        rule(database, "back_off", 31)
    fill(database, 1)
    assert_sound(database)


def leave(database: Database) -> str:
    """Close and drop the parent's object in the child."""
    database.close()
    del database
    gc.collect()
    return "left"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_fork_that_closes_what_it_inherited_takes_no_lock_from_its_parent(db: str) -> None:
    """During a write of the parent no other process writes, whatever its child does."""
    embedded = [open_database(Settings(db=db))]
    other = open_database(Settings(db=db, patience=0.3))
    fill(embedded[0], 1)
    other.read_now(lambda _: None)

    def write(_: object) -> None:
        assert in_a_fork(lambda: leave(embedded.pop())) == "left"
        with pytest.raises(Busy):
            rule(other, "back_off", 31)

    embedded[0].write_now(write)
    fill(embedded[0], 1)
    rule(other, "back_off", 32)
    assert kinds(other, 2) == ["create"]
    assert_sound(other)
    for database in (*embedded, other):
        database.close(patience=5)


@pytest.mark.only_on("sqlite", reason="a server ends a session that sits in a transaction after 15 s")
def test_a_fork_that_outlives_its_parent_holds_nobody_up(db: str, database: Database) -> None:
    """The writer queue of a killed parent is free, even if its child lives."""
    fill(database, 1)
    command = [sys.executable, "-m", "faults.forking", db]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        child = int(harness.stdout.readline())
        harness.kill()
        harness.wait()
        try:
            os.kill(child, 0)  # it is alive
            database.write_now(lambda _: None, patience=5)
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@pytest.mark.anyio
async def test_a_fork_may_not_use_its_parents_client(db: str) -> None:
    """Calls of the child are refused and reach no server; the parent's next call is answered."""
    async with Client.start(server_command("--db", db)) as client:
        await client.call("feature_create", category="c", name="n", description="d", steps=["s"])
        for use in (
            lambda: asyncio.run(client.call("feature_claim_and_get")),
            lambda: asyncio.run(client.call_raw("feature_claim_and_get", {})),
            client.close_input,
        ):
            assert in_a_fork(use) == "refused: a client does not survive a fork: start one in the child"
        assert (await client.call("feature_claim_and_get"))["feature"]["id"] == 1
