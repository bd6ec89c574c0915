"""The run of a storm: fills a project, lets agents work under disturbances, and judges the result."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import anyio

from dibs.client import ServerGone
from dibs.client.claim import leaf_errors
from dibs.database import Database, open_database
from dibs.platform.signals import ENDING, received
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs.verbs.project_settings import change_setting
from dibs_proof.history.history import History
from dibs_proof.random_workload import some_files
from dibs_proof.read_database import read_initial_history, read_statuses
from dibs_proof.recording_client import RecordingClient
from dibs_proof.storm.agent import Agent
from dibs_proof.storm.event_watcher import EventWatcher
from dibs_proof.storm.foreign_locks import ForeignLocks
from dibs_proof.storm.plan import FEATURES, Plan
from dibs_proof.storm.process_cleanup import ProcessCleanup
from dibs_proof.storm.state import StormState
from dibs_proof.storm.verdict import Verdict, judge
from dibs_proof.storm.wall_clock import WallClock
from dibs_schema.inputs import NewFeature
from dibs_schema.refusals import InvalidInput, Refusal
from dibs_schema.status import Status

CLOSING = 5.0
"""Seconds that the database gets to close."""
LAST_CALLS = 30.0
"""Seconds for the last calls after the storm and after the longest stop; a call without an answer by then hangs."""
RULES = {"back_off": 1, "max_failures": 5, "max_same_failures": 4, "max_attempts": 30, "max_skips": 10, "max_claims": 2}
"""Settings with which features are ready again soon, and do not all become stuck."""
TICK = 0.5
PAUSE = 0.1
"""Seconds between two reads of a claim that must end."""
LEASES = 2.0
"""Leases after which no claim of a dead holder may be left."""
LOAD = 3.0
"""Seconds that a busy machine may need to start a server and to answer a call."""
NO_REAPING = 3600.0
"""A lease in seconds with which a server reaps by itself only once in 20 minutes."""
FEATURE = {"category": "storm", "name": "The last feature", "description": "To be taken over.", "steps": ["Look."]}

Watch = Callable[[StormState, float], None]
"""Receives the storm's state and the seconds that are left, twice a second."""


def run_storm(plan: Plan, folder: Path, watch: Watch, made: Event | None = None) -> Verdict:
    """Run a storm on a new project, and judge it. The servers' logs and the histories go to `folder`.

    `made` is set before the first write to the database. Raises InvalidInput if the project exists.
    """
    database = open_database(Settings(db=plan.db, project=plan.project))
    try:
        _refuse_existing(database)
        if made is not None:
            made.set()
        _fill(database, plan)
        histories, log = folder / "histories", folder / "logs"
        histories.mkdir()
        log.mkdir()
        before = replace(database.read_now(read_initial_history), back_off=None)  # wall clocks will jump
        before.write(histories / "0.jsonl")
        began = time.monotonic()
        storm = StormState(
            plan, log, histories, EventWatcher(database), WallClock(folder), ForeignLocks(plan, log), ProcessCleanup()
        )
        with storm.cleanup.running():
            anyio.run(_run, storm, watch)
        history = History.read(sorted(histories.iterdir()))
        return judge(database, storm, history, time.monotonic() - began)
    finally:
        database.close(CLOSING)


def _refuse_existing(database: Database) -> None:
    if database.exists():
        raise InvalidInput(f"{database.label} exists already, and a storm needs a new database.", field="db")


def _fill(database: Database, plan: Plan) -> None:
    chance = plan.chance("backlog")
    batch = [
        NewFeature(
            category=chance.choice(("core", "style", "storm")),
            name=f"Feature {number}",
            description="To be built in the storm.",
            steps=["Check it."],
            **some_files(chance),
            depends_on_indices=chance.sample(range(number), 1) if number and chance.random() < 0.35 else [],
        )
        for number in range(FEATURES)
    ]
    database.write_now(lambda tx: create_bulk(tx, "dibs storm", batch))
    for rule, value in RULES.items():
        database.write_now(partial(change_setting, by="dibs storm", name=rule, value=value))


async def _run(storm: StormState, watch: Watch) -> None:
    """Run the storm until its end or a signal. Raises SystemExit after a signal, when every server has ended."""
    ended_by: list[int] = []
    async with anyio.create_task_group() as watching:

        def end(number: int) -> None:
            ended_by.append(number)
            watching.cancel_scope.cancel()

        # A handler that raised in the middle of a task could leave the loop waiting for that task for ever.
        is_main = threading.current_thread() is threading.main_thread()  # only there does Python receive signals
        with received(ENDING if is_main else (), end):
            watching.start_soon(storm.watcher.watch)
            await _disturb_agents(storm, watch)
            await _take_over(storm)
            watching.cancel_scope.cancel()
    if ended_by:
        sys.exit(128 + ended_by[0])
    await storm.watcher.read()


async def _disturb_agents(storm: StormState, watch: Watch) -> None:
    async with anyio.create_task_group() as everything:
        everything.start_soon(storm.foreign_locks.run, storm.over)
        everything.start_soon(storm.clock.run, storm.plan, storm.over)
        async with anyio.create_task_group() as agents:
            for number in range(1, storm.plan.agents + 1):
                agents.start_soon(Agent(number, storm).run)
            await _wait(storm, watch)
            storm.over.set()
            allowed = LAST_CALLS + storm.plan.longest_stop
            agents.cancel_scope.deadline = anyio.current_time() + allowed
        if agents.cancel_scope.cancelled_caught:
            storm.wrong.append(f"agents still waited for an answer {allowed:g} s after the storm")


async def _wait(storm: StormState, watch: Watch) -> None:
    """Wait for the storm's time, which begins when as many calls have been answered as there are agents."""
    with anyio.move_on_after(LAST_CALLS):
        await storm.begun.wait()
    deadline = time.monotonic() + storm.plan.seconds
    while (left := deadline - time.monotonic()) > 0:
        watch(storm, left)
        await anyio.sleep(min(TICK, left))


async def _take_over(storm: StormState) -> None:
    """After the storm: let an idle server reap the claims of dead holders, and let a claim reap another claim."""
    try:
        await _claim_and_die(storm, "first")
        await _reap_by_an_idle_server(storm)
        feature, died = await _claim_and_die(storm, "second")
        async with _server(storm, "successor", NO_REAPING) as server:
            await anyio.sleep(max(0.0, died + storm.plan.lease + PAUSE - time.monotonic()))
            await _claim(storm, server, feature, died)
    except* (ServerGone, Refusal) as errors:
        storm.wrong += [f"after the storm: {one}" for one in leaf_errors(errors)]


async def _reap_by_an_idle_server(storm: StormState) -> None:
    began = time.monotonic()
    async with _server(storm, "idle"):
        storm.without_servers.append((began, time.monotonic()))
        deadline = time.monotonic() + storm.plan.lease * LEASES + LOAD
        while await _held(storm) and time.monotonic() < deadline:  # noqa: ASYNC110 - it waits for the server
            await anyio.sleep(PAUSE)
        storm.not_taken_back += [
            f"feature {feature} is still claimed, because an idle server did not reap" for feature in await _held(storm)
        ]


async def _claim_and_die(storm: StormState, name: str) -> tuple[int, float]:
    """Claim a new feature, kill the server, and return the feature and the time of the server's death."""
    async with _server(storm, name) as server:
        feature = (await server.call("feature_create", **FEATURE, allow_duplicates=True))["ids"][0]
        await server.call("feature_mark_in_progress", feature_id=feature)
        server.kill()
        await server.client.process.wait()
        return feature, time.monotonic()


@asynccontextmanager
async def _server(storm: StormState, name: str, lease: float | None = None) -> AsyncIterator[RecordingClient]:
    lease = lease or storm.plan.lease
    with (storm.log / f"{name}.log").open("wb") as log:
        async with RecordingClient.start(
            storm.plan.command("--agent", name, lease=lease),
            storm.histories / f"{name}.jsonl",
            name,
            lease=lease,
            agent=name,
            stderr=log.fileno(),
        ) as recorder:
            yield recorder


async def _held(storm: StormState) -> list[int]:
    statuses = await anyio.to_thread.run_sync(storm.watcher.database.read_now, read_statuses)
    return [feature for feature, status in statuses.items() if status == Status.IN_PROGRESS]


async def _claim(storm: StormState, server: RecordingClient, feature: int, died: float) -> None:
    while True:
        try:
            await server.call("feature_claim_and_get", feature_id=feature)
        except Refusal as refusal:
            waited = time.monotonic() - died
            if waited > storm.plan.lease + LOAD:
                storm.not_taken_back.append(
                    f"{waited:.1f} s after its holder's server was killed, a claim of feature {feature} was "
                    f"refused with {refusal.code}"
                )
                return
            await anyio.sleep(PAUSE)
        else:
            return
