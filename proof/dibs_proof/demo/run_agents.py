"""The run of a demo: start the servers, let the agents work until nothing is left, and let a person look after them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import anyio
from mcp.shared.exceptions import MCPError

from dibs.client import ServerGone
from dibs.database import Database
from dibs.queries.open_questions import open_requests
from dibs_proof.demo.agent import Agent
from dibs_proof.demo.plan import Backlog, Plan, planned_outcomes
from dibs_proof.demo.screen import PERSON, AgentStatus, Progress, Screen, Tone
from dibs_proof.demo.state import DemoState, Kill, Race, RecordingClient, Records
from dibs_schema.refusals import Refusal
from dibs_schema.status import Kind, Status

FRAME = 0.1
"""Seconds between two drawings of the screen."""
PAUSE = 0.25
"""Seconds between two looks of the person at the backlog."""


@dataclass(frozen=True, slots=True)
class Observations:
    """What all the clients saw, and when; times in seconds of the monotonic clock.

    `broken_off` says why the demo did not reach its end, if it did not.
    """

    records: Records
    kill: Kill
    lease: float
    began: float
    begun_at: float
    over_at: float
    broken_off: str


async def run_agents(plan: Plan, backlog: Backlog, database: Database, log: IO[bytes], screen: Screen) -> Observations:
    """Drain the backlog, and return what all the clients saw.

    The run is broken off when it stalls, and when a server fails or refuses what it must not.
    """
    demo = DemoState(
        plan=plan,
        outcomes=planned_outcomes(backlog.open, plan.seed),
        database=database,
        log=log,
        progress=Progress(
            len(backlog.statuses), [AgentStatus(f"agent-{n}") for n in range(1, plan.agents + 1)], plan.lease
        ),
        screen=screen,
        records=Records(),
        kill=Kill(after=len(backlog.open) // 3),
    )
    broken_off = ""
    try:
        async with anyio.create_task_group() as watched:
            watched.start_soon(_watch, demo, watched.cancel_scope)
            async with anyio.create_task_group() as everybody:
                everybody.start_soon(_person, demo)
                async with anyio.create_task_group() as agents:
                    for agent in demo.progress.agents:
                        agents.start_soon(Agent(agent, demo).run)
                demo.over.set()
            watched.cancel_scope.cancel()
        if not demo.over.is_set():
            broken_off = f"nothing has happened for {plan.patience:g} s"
    except BaseExceptionGroup as group:
        broken_off = _reason(group)
    if broken_off:
        demo.say(f"BROKEN OFF  {broken_off}", Tone.BAD)
    over_at = time.monotonic()
    return Observations(
        records=demo.records,
        kill=demo.kill,
        lease=plan.lease,
        began=demo.progress.began,
        begun_at=demo.begun_at or over_at,
        over_at=over_at,
        broken_off=broken_off,
    )


async def _watch(demo: DemoState, scope: anyio.CancelScope) -> None:
    """Draw the screen, and break off a run that stalls, so that its verdict can say so."""
    while time.monotonic() - demo.records.last_answer_at < demo.plan.patience:
        demo.screen.draw(demo.progress)
        await anyio.sleep(FRAME)
    scope.cancel()


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """Return what a server did that it must not do; anything else is raised again."""
    for one in _leaves(group):
        if isinstance(one, ServerGone | MCPError):
            return str(one)
        if isinstance(one, Refusal):
            return f"a call was refused that must succeed ({one.code}): {one.message}"
    raise group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


# -- the person -----------------------------------------------------------------------------------


async def _person(demo: DemoState) -> None:
    """Let the agents begin when every server has started, then look after the backlog until the run is over."""
    async with demo.server(PERSON, "planner") as client:
        await demo.all_started.wait()
        ready = (await client.ask("feature_get_ready", limit=1))["features"]
        count = len(demo.progress.agents)
        demo.say(f"The servers of {count} agents and of a person have started after {demo.progress.elapsed:.1f} s.")
        if ready:
            demo.race = Race(ready[0]["id"], count)
        demo.begun_at = demo.records.last_answer_at = time.monotonic()
        demo.begun.set()
        if demo.race is not None:
            await demo.race.over.wait()
            demo.say(f"RACE        All {count} agents ask for feature {demo.race.feature} at once: {demo.race}.")
        while not demo.over.is_set():
            await _look(demo, client)
            with anyio.move_on_after(PAUSE):
                await demo.over.wait()
        demo.progress.counts = await _counts(client)


async def _look(demo: DemoState, client: RecordingClient) -> None:
    """Answer what agents ask, and put stuck features back; the screen shows the counts that the person sees."""
    demo.progress.counts = await _counts(client)
    if demo.progress.counts.get(Status.NEEDS_HUMAN):
        await _answer_all(demo, client)
    if demo.progress.counts.get(Status.STUCK):
        await _retry_all(demo, client)


async def _counts(client: RecordingClient) -> dict[str, int]:
    stats = await client.ask("feature_get_stats")
    return dict(stats["counts"])


async def _answer_all(demo: DemoState, client: RecordingClient) -> None:
    for request in await demo.database.read(open_requests):  # what `dibs answer` shows a person
        assert request.feature_id is not None, "these are the requests about features"
        answers = {field["id"]: _answer(field) for field in request.fields}
        await client.change(Kind.ANSWER, "feature_answer_human_input", request.feature_id, answers=answers)
        demo.progress.answers += 1
        demo.say_first(
            "answer", f"The {PERSON} answers about feature {request.feature_id}: its next holder gets the answer."
        )


async def _retry_all(demo: DemoState, client: RecordingClient) -> None:
    stuck = await client.ask("feature_search", status=Status.STUCK.value, limit=100)
    for row in stuck["features"]:
        await client.change(Kind.RETRY, "feature_update", row["id"], retry=True)
        demo.progress.retries += 1
        demo.say_first("retry", f"The {PERSON} puts stuck feature {row['id']} back into the queue.")


def _answer(field: dict[str, Any]) -> str | bool:
    if field.get("type") == "boolean":
        return True
    return str(field["options"][0]) if field.get("options") else "Do as you think best."
