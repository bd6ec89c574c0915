"""Calls are repeated only if that is safe, so that no call takes effect twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from client.conftest import New
from clusters.shared import Server, fresh_database
from dibs.client import Backlog
from dibs.database import Database, open_database
from dibs.database.postgres.session import WRITING
from dibs.settings import Settings
from dibs_schema.answers import Claimed
from dibs_schema.refusals import Busy, OutcomeUnknown
from proxies import CuttingProxy
from races.backlog import assert_sound, kinds, row
from races.locks import held, let_go

pytestmark = pytest.mark.anyio

TEXTS = ("core", "a feature", "what it does", ["look"])
BEGIN, CLAIM, COMMIT = WRITING.encode(), b"UPDATE features", b"COMMIT"


@pytest.mark.only_on("sqlite", reason="every engine is as busy to a client")
async def test_a_busy_database_is_asked_again(shared_db: str, backlog: Backlog, new: New) -> None:
    """The client repeats a busy call until the lock is free, and it takes effect once."""
    feature = await new()
    async with (
        Backlog.open(db=shared_db, patience=0.2) as patient,
        Backlog.open(db=shared_db, patience=0.2, retry_for=0) as hasty,
    ):
        await patient.stats()
        await hasty.stats()
        with held("engine", shared_db) as holder:
            with pytest.raises(Busy):
                await hasty.add_note(feature, "now or never")
            noting = asyncio.create_task(patient.add_note(feature, "when you can"))
            await asyncio.sleep(0.6)
            assert not noting.done()
            await asyncio.to_thread(let_go, holder)
            assert (await noting).noted
    notes = [event.detail for event in (await backlog.history(feature)).events if event.kind == "note"]
    assert [note["note"] for note in notes if note] == ["when you can"]


class TestInDoubt:
    """The connection breaks during COMMIT, before or after the server received it."""

    @pytest.fixture
    def db(self, postgres: Server, migrated: str) -> Iterator[str]:
        """A fresh database on the shared server."""
        with fresh_database(postgres, migrated) as url:
            yield url

    @pytest.fixture
    def database(self, db: str) -> Iterator[Database]:
        """The test's own connection to that database."""
        opened = open_database(Settings(db=db))
        yield opened
        opened.close(patience=5)

    @pytest.fixture
    def proxy(self, db: str) -> Iterator[CuttingProxy]:
        """The proxy between the client's server and the database."""
        with CuttingProxy(db) as started:
            yield started

    @pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
    async def test_a_call_in_doubt_is_repeated_and_acts_once(
        self, db: str, database: Database, proxy: CuttingProxy, *, committed: bool
    ) -> None:
        """Creations and claims are repeated by their generated key, transitions by their token."""
        arm = proxy.cut_after if committed else proxy.cut_before
        async with Backlog.open(db=proxy.url(db), project="default") as backlog:
            await backlog.stats()
            cut = arm(COMMIT, since=BEGIN)
            (feature,) = (await backlog.create(*TEXTS, allow_duplicates=True)).ids
            cut.wait()
            cut = arm(COMMIT, since=CLAIM)
            assert isinstance(await backlog.take(), Claimed)
            cut.wait()
            cut = arm(COMMIT, since=BEGIN)
            assert (await backlog.mark_passing(feature)).status == "passing"
            cut.wait()
        assert kinds(database, feature) == ["create", "claim", "pass"]
        assert_sound(database)

    async def test_what_could_act_twice_is_told_to_be_in_doubt(
        self, db: str, database: Database, proxy: CuttingProxy
    ) -> None:
        """A note has no key and no token, so it is not repeated."""
        async with Backlog.open(db=proxy.url(db), project="default") as backlog:
            (feature,) = (await backlog.create(*TEXTS, allow_duplicates=True)).ids
            cut = proxy.cut_after(COMMIT, since=BEGIN)
            with pytest.raises(OutcomeUnknown):
                await backlog.add_note(feature, "once")
            cut.wait()
        assert kinds(database, feature) == ["create", "note"]
        assert row(database, feature)["status"] == "pending"
