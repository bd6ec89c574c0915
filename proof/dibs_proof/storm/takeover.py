"""After the storm: what the dead have left is taken by servers as users have them, and by nobody else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from dibs.client import ServerGone
from dibs.client.claim import leaves
from dibs_proof.checks.journal import read_statuses
from dibs_proof.history.recorder import Recorder
from dibs_proof.storm.context import Sky
from dibs_schema.refusals import Refusal
from dibs_schema.status import Status

LOOKS = 0.1
"""Seconds between two looks."""
GIVEN_UP = 2.0
"""Leases after which nothing may still be held."""
LOAD = 3.0
"""Seconds that a machine may need to start a server and to be served."""
LONG = 3600.0
"""The lease of a server that does not look for the dead by itself, but once in twenty minutes."""
FEATURE = {"category": "storm", "name": "The last one", "description": "To be inherited.", "steps": ["Look."]}


async def inherit(sky: Sky) -> None:
    """Let a server that nobody calls take back what the dead hold, and a claim what one more of them held."""
    try:
        await _inherit(sky)
    except* (ServerGone, Refusal) as gone:
        sky.wrong += [f"after the storm: {one}" for one in leaves(gone)]


async def _inherit(sky: Sky) -> None:
    await _die(sky, "first")
    alone = time.monotonic()
    async with _server(sky, "idle"):
        sky.nobody.append((alone, time.monotonic()))
        given_up = time.monotonic() + sky.plan.lease * GIVEN_UP + LOAD
        while await _held(sky) and time.monotonic() < given_up:  # noqa: ASYNC110 - it is a server that is waited for
            await anyio.sleep(LOOKS)
        sky.kept += [f"feature {feature} was left claimed by an idle server" for feature in await _held(sky)]
    feature, died = await _die(sky, "second")
    async with _server(sky, "heir", LONG) as heir:
        await anyio.sleep(max(0.0, died + sky.plan.lease + LOOKS - time.monotonic()))
        await _claim(sky, heir, feature, died)


async def _die(sky: Sky, name: str) -> tuple[int, float]:
    """Claim a new feature, and be killed; returns the feature, and when that was."""
    async with _server(sky, name) as server:
        feature = (await server.call("feature_create", **FEATURE))["ids"][0]
        await server.call("feature_mark_in_progress", feature_id=feature)
        server.kill()
        await server.client.process.wait()
        return feature, time.monotonic()


@asynccontextmanager
async def _server(sky: Sky, name: str, lease: float | None = None) -> AsyncIterator[Recorder]:
    """A server whose agent has that name."""
    lease = lease or sky.plan.lease
    with (sky.log / f"{name}.log").open("wb") as log:
        async with Recorder.start(
            sky.plan.command("--agent", name, lease=lease),
            sky.histories / f"{name}.jsonl",
            name,
            lease=lease,
            agent=name,
            stderr=log.fileno(),
        ) as recorder:
            yield recorder


async def _held(sky: Sky) -> list[int]:
    statuses = await anyio.to_thread.run_sync(sky.witness.database.read_now, read_statuses)
    return [feature for feature, status in statuses.items() if status == Status.IN_PROGRESS]


async def _claim(sky: Sky, heir: Recorder, feature: int, died: float) -> None:
    while True:
        try:
            await heir.call("feature_claim_and_get", feature_id=feature)
        except Refusal as refusal:
            waited = time.monotonic() - died
            if waited > sky.plan.lease + LOAD:
                sky.kept.append(
                    f"{waited:.1f} s after its holder's server was killed, a claim of feature {feature} was "
                    f"refused with {refusal.code}"
                )
                return
            await anyio.sleep(LOOKS)
        else:
            return
