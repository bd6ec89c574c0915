"""A claim that an orchestrator hands over is the agent's: real servers adopt it, on both engines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from client.listening import served
from dibs.client import Backlog, Claim, Client, SyncBacklog, server_command
from dibs.database import Database
from dibs_schema.refusals import ClaimLost, Forbidden
from races.backlog import assert_sound, eventually, fill, kinds, row

pytestmark = pytest.mark.anyio

LEASE = 2.0
Way = Callable[..., AbstractAsyncContextManager[Backlog]]
WAYS = pytest.mark.parametrize("way", [Backlog.open, Backlog.start], ids=["open", "start"])


def agent(environment: dict[str, str], *flags: str) -> AbstractAsyncContextManager[Client]:
    """An agent's server, which knows the backlog and the claim from its environment alone."""
    return Client.start(server_command(*flags), environment)


@WAYS
async def test_the_agent_ends_what_the_orchestrator_claimed(database: Database, db: str, way: Way) -> None:
    """The variables are enough for the agent's server; the block leaves its outcome alone, and reports it."""
    fill(database, 2)
    async with way(db=db, lease=LEASE) as backlog:
        claim = backlog.claim(agent="ada")
        async with claim as feature:
            environment = await claim.hand_over()
            assert environment == {"DIBS_DB": db, "DIBS_PROJECT": "default", "DIBS_CLAIM": feature.claim.token}
            assert await claim.outcome() is None
            async with agent(environment, "--lease", f"{LEASE}") as client:
                assert (await client.call("feature_claim_and_get"))["feature"]["id"] == feature.id
                with pytest.raises(Forbidden):
                    await client.call("feature_claim_and_get", feature_id=2)
                await asyncio.sleep(1.5 * LEASE)
                await client.call("feature_mark_passing", feature_id=1, evidence="built")
            assert await claim.outcome(wait_seconds=5) == "passed"
        assert not backlog.holds(1)
    assert (row(database, 1)["status"], row(database, 1)["passed_by"]) == ("passing", "ada")
    assert kinds(database, 1) == ["create", "claim", "resume", "pass"]
    assert_sound(database)


@WAYS
async def test_the_orchestrators_end_takes_nothing_from_the_agent(database: Database, db: str, way: Way) -> None:
    """A claim outlives the object that handed it over; then it is released at the end of the agent's server."""
    fill(database, 1)
    async with way(db=db, lease=LEASE) as backlog:
        claim = backlog.claim()
        async with claim:
            environment = await claim.hand_over()
    token = environment["DIBS_CLAIM"]
    await asyncio.sleep(1.5 * LEASE)
    assert row(database, 1)["claim_token"] == token
    async with agent(environment, "--lease", f"{LEASE}") as client:
        await client.call("feature_heartbeat", feature_id=1)
    assert (row(database, 1)["status"], row(database, 1)["attempts"]) == ("pending", 1)


async def test_nobody_renews_the_claim_of_a_killed_agent(database: Database, db: str) -> None:
    """Its lease runs out although the orchestrator lives, and the outcome says so."""
    fill(database, 1)
    async with Backlog.start(db=db, lease=LEASE) as backlog:
        claim = backlog.claim()
        async with claim:
            async with agent(await claim.hand_over(), "--lease", f"{LEASE}") as client:
                await client.call("feature_claim_and_get")
                os.kill(client.process.pid, signal.SIGKILL)
                await client.process.wait()
            assert await claim.outcome(wait_seconds=20) == "expired"
    assert (row(database, 1)["status"], row(database, 1)["failures"]) == ("pending", 1)


@pytest.mark.parametrize("adopted", [True, False])
async def test_an_exception_fails_what_the_agent_has_not_ended(database: Database, db: str, adopted: bool) -> None:
    """An agent that dies without an outcome fails its feature with the orchestrator's reason."""
    fill(database, 1)
    async with Backlog.open(db=db) as backlog:
        claim = backlog.claim()
        with pytest.raises(RuntimeError, match="status 1"):
            async with claim:
                environment = await claim.hand_over()
                if adopted:
                    async with agent(environment) as client:
                        await client.call("feature_claim_and_get")
                    assert await claim.outcome(wait_seconds=5) == "released"
                raise RuntimeError("status 1")
    after = row(database, 1)
    assert (after["status"], after["failures"], after["last_failure"]) == ("pending", 1, "RuntimeError: status 1")
    assert_sound(database)


async def test_an_exception_after_the_agents_pass_reports_no_regression(database: Database, db: str) -> None:
    """An agent that passed its feature and then exits with an error has passed it."""
    fill(database, 1)
    async with Backlog.open(db=db) as backlog:
        claim = backlog.claim()
        with pytest.raises(RuntimeError, match="status 1"):
            async with claim:
                async with agent(await claim.hand_over()) as client:
                    await client.call("feature_mark_passing", feature_id=1)
                raise RuntimeError("status 1")
    assert kinds(database, 1) == ["create", "claim", "resume", "pass"]


async def test_a_cancelled_block_takes_the_claim_back(database: Database, db: str) -> None:
    """The orchestrator stops: its agent's later calls are refused, and the feature is free."""
    fill(database, 1)
    async with Backlog.open(db=db) as backlog:
        claim, handed = backlog.claim(), asyncio.Event()
        environment: dict[str, str] = {}

        async def block() -> None:
            async with claim:
                environment.update(await claim.hand_over())
                handed.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(block())
        await handed.wait()
        async with agent(environment) as client:
            await client.call("feature_claim_and_get")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(ClaimLost):
                await client.call("feature_mark_passing", feature_id=1)
            with pytest.raises(Forbidden, match="it was released"):
                await client.call("feature_claim_and_get")
    assert row(database, 1)["status"] == "pending"


async def test_a_claim_by_url_is_handed_over_without_its_place(database: Database, db: str) -> None:
    """Over HTTP only the claim is known; the agent knows its backlog, and the block renews nothing any more."""
    fill(database, 1)
    with served(db) as url:
        async with Backlog.connect(url, agent="ada") as backlog:
            claim = backlog.claim()
            async with claim as feature:
                environment = await claim.hand_over()
                assert environment == {"DIBS_CLAIM": feature.claim.token}
                async with agent(environment, "--db", db) as client:
                    await client.call("feature_skip", feature_id=1, reason="later")
                assert await claim.outcome() == "skipped"


async def test_a_python_agent_adopts_the_claim(database: Database, db: str) -> None:
    """A program that opens the backlog with the variables gets the claim in its block, and its block ends it."""
    fill(database, 2)
    program = (
        "from dibs.client import SyncBacklog\n"
        "with SyncBacklog.open() as backlog, backlog.claim() as feature:\n"
        "    feature.evidence = f'built {feature.id}'\n"
    )
    with SyncBacklog.open(db=db) as backlog:
        claim = backlog.claim()
        with claim:
            run = partial(subprocess.run, [sys.executable, "-c", program], check=True, timeout=60)
            run(env=os.environ | claim.hand_over())
            assert claim.outcome() == "passed"
    assert row(database, 1)["evidence"] == {"summary": "built 1"}
    assert row(database, 2)["status"] == "pending"


def test_the_orchestrator_may_be_killed(database: Database, db: str, tmp_path: Path) -> None:
    """Its agent goes on with the claim, which is then released at the end of the agent's server."""
    fill(database, 1)
    program = (
        "import subprocess, sys, os, time\n"
        "from dibs.client import SyncBacklog\n"
        f"with SyncBacklog.open(db={db!r}, lease={LEASE}) as backlog:\n"
        "    claim = backlog.claim()\n"
        "    with claim:\n"
        "        print(claim.hand_over()['DIBS_CLAIM'], flush=True)\n"
        "        time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as orchestrator:
        assert orchestrator.stdout is not None
        token = orchestrator.stdout.readline().strip()

        async def work() -> None:
            async with agent({"DIBS_DB": db, "DIBS_CLAIM": token}, "--lease", f"{LEASE}") as client:
                await client.call("feature_claim_and_get")
                orchestrator.kill()
                orchestrator.wait()
                await asyncio.sleep(1.5 * LEASE)
                await client.call("feature_heartbeat", feature_id=1)

        asyncio.run(work())
    eventually(lambda: row(database, 1)["status"] == "pending")
    assert row(database, 1)["failures"] == 0


async def test_only_a_block_hands_over(db: str) -> None:
    """A claim that was not made, or not handed over, says so."""
    async with Backlog.open(db=db) as backlog:
        claim: Claim = backlog.claim()
        with pytest.raises(RuntimeError, match="within its block"):
            await claim.hand_over()
        with pytest.raises(RuntimeError, match="not handed over"):
            await claim.outcome()
