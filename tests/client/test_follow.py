"""The events as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client.conftest import New
from dibs.client import Backlog
from dibs.client.calls import Link
from dibs_schema.answers import FollowedEvent
from dibs_schema.refusals import InvalidInput

pytestmark = pytest.mark.anyio


async def first(backlog: Backlog, count: int, after: str | None = None) -> list[FollowedEvent]:
    """Return the next `count` events of a stream."""
    found: list[FollowedEvent] = []
    async with aclosing(backlog.follow(after)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_follower_sees_what_others_do_and_goes_on_after_a_cursor(
    backlog: Backlog, other: Backlog, new: New
) -> None:
    """Each event arrives once, in order, soon after its commit; each cursor continues after its event."""
    one = await new()
    (made,) = await first(other, 1, "0-0")  # on a server, any open transaction delays what followers see
    watching = asyncio.create_task(first(other, 5, made.cursor))
    await asyncio.sleep(0.5)  # so that most events are followed while they are made
    two = await new()
    for feature in (one, two):
        async with backlog.claim(feature):
            pass
    live = await asyncio.wait_for(watching, 20)
    assert live[-1].at == (await backlog.history(two, limit=1)).events[0].at
    assert abs(datetime.now(UTC) - live[-1].at) < timedelta(minutes=1)
    told = [(event.kind, event.feature) for event in live]
    assert told == [("create", two), ("claim", one), ("pass", one), ("claim", two), ("pass", two)]
    assert await first(other, 3, live[1].cursor) == live[2:]
    async with aclosing(backlog.follow("0-0")) as events:
        whole = [await anext(events) for _ in range(6)]
        three = await new()
        whole.append(await anext(events))
    assert [event.kind for event in whole[:2]] == ["create", "create"]
    assert len({event.id for event in whole}) == 7
    assert (whole[-1].kind, whole[-1].feature) == ("create", three)


@pytest.mark.only_on("sqlite", reason="the stream looks at it before any engine does")
async def test_a_cursor_that_is_none_is_refused(backlog: Backlog) -> None:
    """An invalid cursor is refused like every invalid argument."""
    with pytest.raises(InvalidInput):
        await first(backlog, 1, "yesterday")


async def test_by_url_there_is_no_journal() -> None:
    """A client that cannot reach the database raises a refusal with the next step."""

    async def call(tool: str, arguments: object) -> None:
        raise AssertionError("nothing is asked")

    with pytest.raises(RuntimeError, match=r"Backlog\.open"):
        Backlog(Link(call)).follow()  # type: ignore[arg-type]  # it is never called


@pytest.mark.only_on("sqlite", reason="the client ends the stream, whatever the engine")
@pytest.mark.parametrize("way", [Backlog.open, Backlog.start], ids=["open", "start"])
async def test_a_stream_ends_with_its_backlog(way: Callable[..., Any], shared_db: str) -> None:
    """A task that follows ends without an error when the backlog is closed."""
    began = asyncio.Event()

    async def follow(backlog: Backlog) -> None:
        async for _ in backlog.follow("0-0"):
            began.set()

    async with way(db=shared_db) as backlog:
        await backlog.create("core", "a feature", "what it does", ["look"])
        following = asyncio.create_task(follow(backlog))
        await asyncio.wait_for(began.wait(), 20)
    await asyncio.wait_for(following, 20)
