"""The same backlog in this process, in a server process, and by URL."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from client.listening import served
from clusters.urls import free_port
from dibs.client import Backlog, Client, ServerGone, server_command
from dibs.client.calls import Link
from dibs.client.links import answer_of
from dibs_schema.answers import Claimed
from dibs_schema.inputs import NewFeature
from dibs_schema.operations import AnyOperation
from dibs_schema.refusals import AlreadyClaimed, AlreadyHolding, ClaimLost, Forbidden, InvalidInput

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="links end at the operations, before any engine plays a part"),
]

WAYS = ("open", "start", "connect")
LEASE = 3.0


@pytest.fixture(scope="module")
def url(shared_db: str) -> Iterator[str]:
    """A server's URL. Its leases are short, and it does not renew them by itself."""
    with served(shared_db, lease=LEASE, hold_limit=0.001) as where:
        yield where


@pytest.fixture(scope="module", params=WAYS)
async def reached(request: pytest.FixtureRequest, shared_db: str, anyio_backend: str) -> AsyncIterator[Backlog]:
    """The backlog, for each way to connect."""
    if request.param == "connect":
        way = Backlog.connect(request.getfixturevalue("url"), agent="harness")
    else:
        way = (Backlog.open if request.param == "open" else Backlog.start)(db=shared_db, agent="harness")
    async with way as backlog:
        yield backlog


def a_feature(**more: object) -> NewFeature:
    """Return a feature to be created."""
    texts = {"category": "core", "name": "a feature", "description": "what it does", "steps": ["look"]}
    return NewFeature.model_validate(texts | more)


async def test_every_way_leads_to_the_same_answers(reached: Backlog, backlog: Backlog) -> None:
    """Arguments are models or dicts, answers are models, times are datetimes in UTC, and tokens are sent automatically."""
    second = {"category": "core", "name": "two", "description": "d", "steps": ("look",), "depends_on_indices": [0]}
    one, two = (await reached.create_many([a_feature(), second], allow_duplicates=True)).ids
    claimed = await reached.take(one)
    assert isinstance(claimed, Claimed)
    assert claimed.claim.expires_at > datetime.now(UTC)
    assert claimed.claim.expires_at.utcoffset() == timedelta(0)
    assert (await reached.get(one)).claimed_at == (await backlog.get(one)).claimed_at
    assert reached.holds(one, claimed.claim.token)
    assert (await reached.heartbeat(one, note="half done")).noted
    with pytest.raises(AlreadyHolding):
        await reached.take()
    again = await reached.take(resume=True)
    assert isinstance(again, Claimed)
    assert again.claim.token != claimed.claim.token
    done = await reached.mark_passing(one, evidence="seen")
    assert (done.status, done.unblocked) == ("passing", [two])
    async with reached.claim(two) as feature:
        (below,) = feature.dependencies
        assert (below.id, below.evidence) == (one, "seen")
    assert (await reached.stats()).counts.in_progress == 0
    assert (await reached.summaries(feature_ids=[one, two, 10**6])).missing == [10**6]
    assert one in [row.id for row in (await reached.search("LOOK", in_="all", limit=100)).features]
    assert (await reached.search("LOOK")).total == 0


async def test_what_is_refused_is_refused_by_every_way(reached: Backlog) -> None:
    """A refusal is raised as its class, also for an invalid argument."""
    with pytest.raises(InvalidInput) as raised:
        await reached.search(limit=1_000)
    assert raised.value.details["field"] == "limit"


async def test_a_claim_is_given_back_when_the_connection_ends(shared_db: str, backlog: Backlog) -> None:
    """If a connection proves that the holder lives, its end releases the claims."""
    (feature,) = (await backlog.create_many([a_feature()], allow_duplicates=True)).ids
    async with Backlog.open(db=shared_db) as passing_by:
        await passing_by.mark_in_progress(feature)
        with pytest.raises(AlreadyClaimed):
            await backlog.take(feature)
    assert (await backlog.get(feature)).status == "pending"


async def test_a_block_over_http_renews_its_lease(url: str, backlog: Backlog) -> None:
    """A claim block over HTTP renews its lease, because no connection does."""
    (feature,) = (await backlog.create_many([a_feature()], allow_duplicates=True)).ids
    async with Backlog.connect(url, agent="slow") as reached, reached.claim(feature) as held:
        await asyncio.sleep(LEASE / 3 + 0.7)
        seen = await backlog.get(feature)
        assert seen.expires_at is not None
        assert seen.expires_at > held.claim.expires_at
    assert (await backlog.get(feature)).status == "passing"


async def test_a_block_over_http_stops_to_renew_what_it_has_lost(url: str, backlog: Backlog) -> None:
    """A lost claim is reported at the end of the block, and no longer renewed before that."""
    (feature,) = (await backlog.create_many([a_feature()], allow_duplicates=True)).ids
    async with Backlog.connect(url, agent="left behind") as reached:
        renewals = 0

        async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
            nonlocal renewals
            renewals += operation.tool == "feature_heartbeat"
            return await reached._link.call(operation, arguments)

        watched = Backlog(Link(call, renews_leases=False), agent="left behind")
        with pytest.raises(ClaimLost):
            async with watched.claim(feature):
                await backlog.release(feature, force=True)
                await asyncio.sleep(LEASE + 0.5)
        assert renewals == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_closed_backlog_says_so(request: pytest.FixtureRequest, shared_db: str, way: str) -> None:
    """Calls after the block, and calls that were open when it ended, raise ServerGone over every connection."""
    if way == "connect":
        opening = Backlog.connect(request.getfixturevalue("url"), agent="late")
    else:
        opening = getattr(Backlog, way)(db=shared_db)
    async with opening as backlog:
        waiting = asyncio.create_task(backlog.take(category="never", wait_seconds=30))
        await backlog.stats()
    late: list[Awaitable[object]] = [backlog.stats(), backlog.take(), backlog.claim().__aenter__(), waiting]
    if way != "connect":
        late.append(backlog.follow().__anext__())
    for call in late:
        with pytest.raises(ServerGone, match="this backlog is closed"):
            await call


async def test_what_a_block_raises_comes_out_as_it_was(shared_db: str, url: str) -> None:
    """The harness's own exceptions and its cancellation are never wrapped in exception groups of a library."""
    for way in (Backlog.open(db=shared_db), Backlog.connect(url)):
        error = ValueError("mine")
        with pytest.raises(ValueError, match="mine") as raised:
            async with way as backlog:
                await backlog.stats()
                for moment in range(30):
                    call = asyncio.create_task(backlog.stats())
                    await asyncio.sleep(moment / 4_000)
                    if call.cancel():
                        with pytest.raises(asyncio.CancelledError):
                            await call
                raise error
        assert raised.value is error


async def test_what_is_no_dibs_server_is_told_with_its_url(url: str) -> None:
    """A wrong path, another kind of server, and an invalid address all raise ServerGone."""
    foreign = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    thread = threading.Thread(target=foreign.serve_forever)
    thread.start()
    try:
        there = f"http://127.0.0.1:{foreign.server_port}/mcp"
        for wrong in (url + "x", there, "127.0.0.1:3427", "http://127.0.0.1:port/mcp"):
            async with Backlog.connect(wrong, agent="lost") as backlog:
                with pytest.raises(ServerGone, match=re.escape(wrong)):
                    await backlog.stats()
    finally:
        foreign.shutdown()
        thread.join()
        foreign.server_close()


async def test_a_server_that_is_gone_is_told_and_may_come_back(tmp_path: Path) -> None:
    """A call that reaches no server raises ServerGone; the same object works again when a server is back."""
    db, port = str(tmp_path / "features.db"), free_port()
    async with Backlog.connect(f"http://127.0.0.1:{port}/mcp", agent="patient") as reached:
        with pytest.raises(ServerGone, match=f"127.0.0.1:{port}"):
            await reached.stats()
        with served(db, port):
            made = await reached.create("core", "a feature", "what it does", ["look"])
        with pytest.raises(ServerGone):
            await reached.stats()
        with served(db, port):
            assert (await reached.get(made.ids[0])).name == "a feature"


async def test_a_server_process_that_dies_is_told(tmp_path: Path) -> None:
    """The call that was open, and every later one, raise ServerGone."""
    async with Client.start(server_command("--db", str(tmp_path / "features.db"))) as client:

        async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
            return answer_of(operation, await client.call_raw(operation.tool, arguments))

        backlog = Backlog(Link(call))
        await backlog.stats()
        waiting = asyncio.create_task(backlog.take(wait_seconds=30))
        await asyncio.sleep(0.1)
        client.process.kill()
        with pytest.raises(ServerGone):
            await waiting
        with pytest.raises(ServerGone):
            await backlog.stats()


@pytest.mark.parametrize("way", [Backlog.open, Backlog.start])
async def test_options_that_do_not_fit_are_refused(tmp_path: Path, way: Any) -> None:
    """The reason is raised, and not left to the standard error of a process."""
    with pytest.raises(InvalidInput, match="nobody") as raised:
        async with way(db=tmp_path / "features.db", role="nobody"):
            pytest.fail("no server comes up with that")
    assert raised.value.details["field"] == "--role"


async def test_options_reach_the_server(tmp_path: Path) -> None:
    """A server process gets the options for its database and its caller."""
    async with Backlog.start(
        db=tmp_path / "features.db", role="viewer", project="mine", patience=2, isolated=True
    ) as viewer:
        assert (await viewer.stats()).project == "mine"
        with pytest.raises(Forbidden):
            await viewer.add_note(1, "no")


async def test_a_server_within_the_process_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    """The client changes neither the root logger nor the garbage collector of the harness."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # as in a program that has not configured logging
    try:
        gc.unfreeze()  # what tests of commands have frozen in this process may be freed meanwhile
        async with Backlog.open(db=tmp_path / "features.db") as backlog:
            await backlog.stats()
            assert (root.handlers, root.level) == ([], level)
            assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
    finally:
        root.handlers[:] = handlers


async def test_the_token_is_sent_and_not_left_to_the_server(backlog: Backlog) -> None:
    """Each call on a claimed feature carries its token, because a server without sessions needs it."""
    sent: list[tuple[str, object]] = []

    async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        sent.append((operation.tool, arguments.get("claim_token")))
        return await backlog._link.call(operation, arguments)

    watched = Backlog(Link(call))
    tokens = []
    for _ in range(2):
        (feature,) = (await watched.create_many([a_feature()], allow_duplicates=True)).ids
        claimed = await watched.take(feature)
        assert isinstance(claimed, Claimed)
        tokens.append(claimed.claim.token)
        await watched.heartbeat(feature)
        await watched.skip(feature, "later")
        tokens.append((await watched.mark_in_progress(feature)).token or "")
        await watched.mark_passing(feature)
        await watched.mark_passing(feature)
    moves = [token for tool, token in sent if tool not in ("feature_create_bulk", "feature_claim_and_get")]
    one, two, three, four = tokens
    assert moves == [one, one, None, two, None, three, three, None, four, None]
