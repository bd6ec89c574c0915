"""The timeout of a claim fails its feature; one around the claim releases it."""

from __future__ import annotations

import asyncio

import pytest

from client.conftest import New
from dibs.client import Backlog

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="blocks are made of calls, which others try on every engine"),
]


async def test_a_claim_whose_time_is_up_fails_with_the_reason(backlog: Backlog, new: New) -> None:
    """The block is cancelled and raises TimeoutError; the next holder reads why. The task goes on."""
    feature = await new()
    with pytest.raises(TimeoutError, match="the claim's timeout"):
        async with backlog.claim(feature, timeout=0.05):
            await asyncio.sleep(60)
    failed = await backlog.get(feature)
    assert (failed.failures, failed.last_failure) == (1, "TimeoutError: the claim's timeout of 0.05 s has passed")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_timeout_that_does_not_come_changes_nothing(backlog: Backlog, new: New) -> None:
    """A block that ends in time passes, and one that raises fails with its own error."""
    feature, other = await new(), await new()
    async with backlog.claim(feature, timeout=60):
        pass
    assert (await backlog.get(feature)).status == "passing"
    with pytest.raises(ValueError, match="mine"):
        async with backlog.claim(other, timeout=60):
            raise ValueError("mine")
    assert (await backlog.get(other)).last_failure == "ValueError: mine"


async def test_a_cancellation_before_the_timeout_releases(backlog: Backlog, new: New) -> None:
    """A cancelled block with a timeout is released, since nothing is wrong with the feature."""
    feature = await new()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), backlog.claim(feature, timeout=60):
            await asyncio.sleep(60)
    released = await backlog.get(feature)
    assert (released.status, released.last_failure) == ("pending", None)


async def test_a_block_that_ended_its_claim_still_hears_of_its_timeout(backlog: Backlog, new: New) -> None:
    """The outcome that the block reported stays, and the block raises TimeoutError."""
    feature = await new()
    with pytest.raises(TimeoutError):
        async with backlog.claim(feature, timeout=0.3):
            await backlog.mark_passing(feature)
            await asyncio.sleep(60)
    assert (await backlog.get(feature)).status == "passing"
