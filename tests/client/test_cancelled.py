"""A cancellation at any moment leaves no claim and no open block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from client.conftest import New
from client.listening import served
from dibs.client import Backlog, NothingToClaim
from dibs.client.calls import Link
from dibs_schema.answers import Claimed
from dibs_schema.operations import AnyOperation

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="links end at the operations, before any engine plays a part"),
]

MOMENTS = [step / 1_000 for step in range(0, 16, 2)]
"""Seconds after which a call is cancelled: before, while and after the server acts."""


@pytest.fixture(scope="module")
def url(shared_db: str) -> Iterator[str]:
    """A server's URL."""
    with served(shared_db) as where:
        yield where


@pytest.fixture(scope="module", params=["open", "start", "connect", "connect by name"])
async def reached(request: pytest.FixtureRequest, shared_db: str, anyio_backend: str) -> AsyncIterator[Backlog]:
    """The backlog, for each way to connect."""
    if request.param in ("open", "start"):
        way = getattr(Backlog, request.param)(db=shared_db)
    else:
        name = "ada" if request.param == "connect by name" else None
        way = Backlog.connect(request.getfixturevalue("url"), agent=name)
    async with way as backlog:
        yield backlog


ON_THE_WAY = 1.5
"""The delay of an answer in seconds, during which another call and the cancellation happen."""


class Slow:
    """The same backlog, with a delay for the answers or requests of one tool."""

    def __init__(self, backlog: Backlog, tool: str, *, before: bool = False) -> None:
        self._call = backlog._link.call
        self._tool, self._before = tool, before
        self.on_the_way = asyncio.Event()
        wire = Link(self.call, renews_leases=backlog.renews_leases)
        self.backlog = Backlog(wire, agent=backlog._agent)

    async def call(self, operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        """Call the tool of the real server."""
        slow = operation.tool == self._tool and not self.on_the_way.is_set()
        if slow and self._before:
            await self._pause()
        result = await self._call(operation, arguments)
        if slow and not self._before:
            await self._pause()
        return result

    async def _pause(self) -> None:
        self.on_the_way.set()
        await asyncio.sleep(ON_THE_WAY)


async def cancelled(task: asyncio.Task[Any], *, times: int = 1) -> None:
    """Cancel a task, and check that it ends as cancelled."""
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("how", ["take", "claim", "mark"])
async def test_a_claim_whose_answer_was_on_its_way_is_given_back(reached: Backlog, new: New, how: str) -> None:
    """A claim whose caller was cancelled after the server had acted is released."""
    feature = await new()
    slow = Slow(reached, "feature_mark_in_progress" if how == "mark" else "feature_claim_and_get")

    async def block() -> None:
        async with slow.backlog.claim(feature):
            pytest.fail("it was cancelled before")

    calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "take": lambda: slow.backlog.take(feature),
        "claim": block,
        "mark": lambda: slow.backlog.mark_in_progress(feature),
    }
    task: asyncio.Task[Any] = asyncio.create_task(calls[how]())
    await slow.on_the_way.wait()
    assert (await reached.get(feature)).status == "in_progress"
    await cancelled(task)
    assert (await reached.get(feature)).status == "pending"
    assert not slow.backlog.holds(feature)


async def test_a_claim_that_was_never_made_is_not_made_to_be_given_back(reached: Backlog, new: New) -> None:
    """The search for a claim that was never made does not make one, which would count as an attempt."""
    feature = await new()
    slow = Slow(reached, "feature_claim_and_get", before=True)
    task = asyncio.create_task(slow.backlog.take(feature))
    await slow.on_the_way.wait()
    await cancelled(task)
    assert [event.kind for event in (await reached.history(feature)).events] == ["create"]


async def test_a_claim_is_given_back_whenever_it_was_cancelled(reached: Backlog, new: New) -> None:
    """A cancellation at any moment leaves no claim, and ends as a cancellation."""
    for _ in range(3):
        await new(category="race")

    async def block() -> None:
        async with reached.claim(category="race"):
            await asyncio.sleep(60)

    for moment in MOMENTS:
        task = asyncio.create_task(block())
        await asyncio.sleep(moment)
        try:
            await cancelled(task)
        except NothingToClaim:
            pytest.fail("an earlier claim was left")
        await reached._tasks.settle()
        assert (await reached.stats()).counts.in_progress == 0


async def test_a_call_with_its_own_key_is_left_to_its_caller(backlog: Backlog, new: New) -> None:
    """A claim under the caller's request_id stays, and the same call returns it."""
    feature = await new()
    slow = Slow(backlog, "feature_claim_and_get")
    task = asyncio.create_task(slow.backlog.take(feature, request_id="mine"))
    await slow.on_the_way.wait()
    await cancelled(task)
    found = await backlog.take(feature, request_id="mine")
    assert isinstance(found, Claimed)
    assert (await backlog.release(feature, found.claim.token)).status == "pending"


@pytest.mark.parametrize("before", [True, False], ids=["question", "answer"])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_block_that_had_ended_is_not_ended_otherwise_by_a_cancellation(
    backlog: Backlog, new: New, *, before: bool, times: int
) -> None:
    """A failure or pass is recorded, even if a task group cancels during the call."""
    for tool, status, failures in (
        ("feature_mark_failing", "pending", 1),
        ("feature_mark_passing", "passing", 0),
    ):
        feature = await new()
        slow = Slow(backlog, tool, before=before)

        async def block(slow: Slow = slow, feature: int = feature, wrong: bool = bool(failures)) -> None:
            async with slow.backlog.claim(feature):
                if wrong:
                    raise ValueError("the real reason")

        task = asyncio.create_task(block())
        await slow.on_the_way.wait()
        await cancelled(task, times=times)
        await slow.backlog._tasks.settle()
        seen = await backlog.get(feature)
        assert (seen.status, seen.failures) == (status, failures)


async def test_siblings_that_fail_together_all_fail(reached: Backlog, new: New) -> None:
    """Tasks that a group cancels while they report a failure leave no claim."""
    features = [await new() for _ in range(3)]
    agents = [f"agent-{feature}" for feature in features]

    async def work(feature: int, agent: str) -> None:
        async with reached.claim(feature, agent=agent):
            await asyncio.sleep(0.05)
            raise ValueError("no")

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for feature, agent in zip(features, agents, strict=True):
                group.create_task(work(feature, agent))
    await reached._tasks.settle()
    assert {(await reached.get(feature)).status for feature in features} == {"pending"}
