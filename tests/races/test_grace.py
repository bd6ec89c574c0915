"""A process that was delayed itself reaps nothing, and a server that replays a claim renews it."""

from __future__ import annotations

import anyio
import pytest

from dibs.client import Client, server_command
from dibs.database import Database
from dibs_schema.refusals import ClaimLost
from races.backlog import fill, kinds, row
from races.locks import held

pytestmark = pytest.mark.anyio


async def test_a_process_that_waited_in_the_queue_reaps_nobody(database: Database, db: str) -> None:
    """A lease that expired while all writers waited in the queue is renewed by its holder, and not reaped."""
    fill(database, 1)
    command = server_command("--db", db, "--lease", "3")
    async with Client.start(command) as holder, Client.start(command) as other:
        token = (await holder.call("feature_claim_and_get"))["claim"]["token"]
        async with anyio.create_task_group() as calls:
            with held("queue", db):
                calls.start_soon(other.call, "feature_claim_and_get")
                await anyio.sleep(4)  # longer than the lease
        done = await holder.call("feature_mark_passing", feature_id=1, claim_token=token)
        assert done["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]


async def test_a_replayed_claim_is_released_by_who_replayed_it(database: Database, db: str) -> None:
    """The server that made a claim is killed; the server that replays the claim releases it at its own end."""
    fill(database, 1)
    command = server_command("--db", db, "--agent", "bo")
    async with Client.start(command) as first:
        claimed = await first.call("feature_claim_and_get", request_id="once")
        first.process.kill()
    async with Client.start(command) as second:
        again = await second.call("feature_claim_and_get", request_id="once")
        assert again["claim"]["token"] == claimed["claim"]["token"]
    assert row(database, 1)["status"] == "pending"


async def test_repeating_a_pass_after_a_regression_acknowledges_nothing(database: Database, db: str) -> None:
    """A pass that a regression has undone is not acknowledged again."""
    fill(database, 1)
    command = server_command("--db", db)
    async with Client.start(command) as one, Client.start(command) as other:
        token = (await one.call("feature_claim_and_get"))["claim"]["token"]
        await one.call("feature_mark_passing", feature_id=1, claim_token=token)
        await other.call("feature_mark_failing", feature_id=1, reason="it broke")
        with pytest.raises(ClaimLost):
            await one.call("feature_mark_passing", feature_id=1, claim_token=token)
