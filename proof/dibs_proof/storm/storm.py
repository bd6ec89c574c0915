"""One storm from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import anyio

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs.verbs.project_settings import change_rule
from dibs_proof.history.history import History
from dibs_proof.history.initial_state import beginning
from dibs_proof.storm.agent import Agent
from dibs_proof.storm.calls import some_files
from dibs_proof.storm.context import Sky
from dibs_proof.storm.disturbances import Strangers, WallClock
from dibs_proof.storm.journal_watcher import Witness
from dibs_proof.storm.plan import FEATURES, Plan
from dibs_proof.storm.reaper import Guardian
from dibs_proof.storm.takeover import inherit
from dibs_proof.storm.verdict import Verdict, judge
from dibs_schema.inputs import NewFeature
from dibs_schema.refusals import InvalidInput

CLOSING = 5.0
"""Seconds that the database gets to close."""
GRACE = 30.0
"""Seconds that the last calls get after the storm, and after the longest stop; whoever has no answer then hangs."""
RULES = {"back_off": 1, "max_failures": 5, "max_attempts": 30, "max_skips": 10, "max_claims": 2}
"""So that features come back soon, and do not all end stuck."""
TICK = 0.5

Watch = Callable[[Sky, float], None]
"""Is shown the storm now and then, with the seconds that are left."""


def run_storm(plan: Plan, folder: Path, watch: Watch, made: Event | None = None) -> Verdict:
    """Let it rage on a project of its own, and judge. The servers' logs and the histories go to `folder`.

    `made` is set from when there may be something in the database that is the storm's.
    Raises InvalidInput where there is such a project already.
    """
    database = open_database(Settings(db=plan.db, project=plan.project))
    try:
        _refuse_existing(database)
        if made is not None:
            made.set()
        _fill(database, plan)
        histories = folder / "histories"
        histories.mkdir()
        before = replace(database.read_now(beginning), back_off=None)  # wall clocks will jump
        before.write(histories / "0.jsonl")
        log = folder / "logs"
        log.mkdir()
        guardian, began = Guardian(), time.monotonic()
        sky = Sky(plan, log, WallClock(folder), Strangers(plan, log), histories, Witness(database), guardian)
        with guardian.watching():
            anyio.run(_watched, sky, watch)
        history = History.read(sorted(histories.iterdir()))
        return judge(database, sky, history, time.monotonic() - began)
    finally:
        database.close(CLOSING)


def _refuse_existing(database: Database) -> None:
    if database.exists():
        raise InvalidInput(
            f"{database.label} exists already, and a storm begins with a fresh database.", field="db"
        )


def _fill(database: Database, plan: Plan) -> None:
    chance = plan.chance("backlog")
    batch = [
        NewFeature(
            category=chance.choice(("core", "style", "storm")),
            name=f"Feature {number}",
            description="To be built in the storm.",
            steps=["See that it stands."],
            **some_files(chance),
            depends_on_indices=chance.sample(range(number), 1) if number and chance.random() < 0.35 else [],
        )
        for number in range(FEATURES)
    ]
    database.write_now(lambda tx: create_bulk(tx, "dibs storm", batch))
    for rule, value in RULES.items():
        database.write_now(partial(change_rule, by="dibs storm", name=rule, value=value))


async def _watched(sky: Sky, watch: Watch) -> None:
    async with anyio.create_task_group() as witness:
        witness.start_soon(sky.witness.look_on)
        await _rage(sky, watch)
        await inherit(sky)
        witness.cancel_scope.cancel()
    await sky.witness.look()


async def _rage(sky: Sky, watch: Watch) -> None:
    async with anyio.create_task_group() as everything:
        everything.start_soon(sky.strangers.come_and_go, sky.over)
        everything.start_soon(sky.clock.jump_about, sky.plan, sky.over)
        async with anyio.create_task_group() as agents:
            for number in range(1, sky.plan.agents + 1):
                agents.start_soon(Agent(number, sky).run)
            await _pass(sky, watch)
            sky.over.set()
            grace = GRACE + sky.plan.longest_stop
            agents.cancel_scope.deadline = anyio.current_time() + grace
        if agents.cancel_scope.cancelled_caught:
            sky.wrong.append(f"agents were still waiting for an answer {grace:g} s after the storm")


async def _pass(sky: Sky, watch: Watch) -> None:
    """Let the time pass, from when as many calls have been answered as there are agents."""
    with anyio.move_on_after(GRACE):
        await sky.begun.wait()
    deadline = time.monotonic() + sky.plan.seconds
    while (left := deadline - time.monotonic()) > 0:
        watch(sky, left)
        await anyio.sleep(min(TICK, left))
