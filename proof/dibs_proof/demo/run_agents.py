"""The run of a demo: starts the servers, and lets agents and a person work until every feature is done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import IO, Any

import anyio
from mcp.shared.exceptions import MCPError

from dibs.client import ServerGone
from dibs.client.claim import leaf_errors
from dibs.database import Database
from dibs.queries.open_questions import open_requests
from dibs_proof.demo.agent import Agent
from dibs_proof.demo.plan import Backlog, Plan, planned_outcomes
from dibs_proof.demo.screen import PERSON, AgentStatus, Progress, Screen, Tone
from dibs_proof.demo.state import AgentClient, DemoState, Kill, Race, Records
from dibs_schema.refusals import Refusal
from dibs_schema.status import Kind, Status

FRAME = 0.1
"""Seconds between two drawings of the screen."""
PAUSE = 0.25
"""Seconds between two reads of the backlog by the person."""


@dataclass(frozen=True, slots=True)
class Observations:
    """What all clients saw, and when; times in seconds of the monotonic clock.

    `stopped_early` is the reason why the demo stopped early, or empty.
    """

    records: Records
    kill: Kill
    lease: float
    began: float
    begun_at: float
    over_at: float
    stopped_early: str


async def run_agents(plan: Plan, backlog: Backlog, database: Database, log: IO[bytes], screen: Screen) -> Observations:
    """Drain the backlog, and return what all clients saw.

    The run stops early when it stalls, when a server ends, and when a server refuses a call that must succeed.
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
    stopped_early = ""
    try:
        async with anyio.create_task_group() as watched:
            watched.start_soon(_watch, demo, watched.cancel_scope)
            async with anyio.create_task_group() as participants:
                participants.start_soon(_person, demo)
                async with anyio.create_task_group() as agents:
                    for agent in demo.progress.agents:
                        agents.start_soon(Agent(agent, demo).run)
                demo.over.set()
            watched.cancel_scope.cancel()
        if not demo.over.is_set():
            stopped_early = f"nothing has happened for {plan.patience:g} s"
    except BaseExceptionGroup as group:
        stopped_early = _reason(group)
    if stopped_early:
        demo.say(f"STOPPED EARLY  {stopped_early}", Tone.BAD)
    over_at = time.monotonic()
    return Observations(
        records=demo.records,
        kill=demo.kill,
        lease=plan.lease,
        began=demo.progress.began,
        begun_at=demo.begun_at or over_at,
        over_at=over_at,
        stopped_early=stopped_early,
    )


async def _watch(demo: DemoState, scope: anyio.CancelScope) -> None:
    """Draw the screen, and cancel a run that stalls, so that its verdict can report that."""
    while time.monotonic() - demo.records.last_answer_at < demo.plan.patience:
        demo.screen.draw(demo.progress)
        await anyio.sleep(FRAME)
    scope.cancel()


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the server's fault that ended the run. Raises the group if it contains none."""
    for one in leaf_errors(group):
        if isinstance(one, ServerGone | MCPError):
            return str(one)
        if isinstance(one, Refusal):
            return f"a call was refused that must succeed ({one.code}): {one.message}"
    raise group


async def _person(demo: DemoState) -> None:
    """Let the agents begin when every server has started, then answer and retry features until the run is over."""
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
            await _help_agents(demo, client)
            with anyio.move_on_after(PAUSE):
                await demo.over.wait()
        demo.progress.counts = await _counts(client)


async def _help_agents(demo: DemoState, client: AgentClient) -> None:
    """Answer the agents' questions, retry stuck features, and update the counts on the screen."""
    demo.progress.counts = await _counts(client)
    if demo.progress.counts.get(Status.NEEDS_HUMAN):
        await _answer_all(demo, client)
    if demo.progress.counts.get(Status.STUCK):
        await _retry_all(demo, client)


async def _counts(client: AgentClient) -> dict[str, int]:
    stats = await client.ask("feature_get_stats")
    return dict(stats["counts"])


async def _answer_all(demo: DemoState, client: AgentClient) -> None:
    for request in await demo.database.read(open_requests):  # what `dibs answer` shows a person
        assert request.feature_id is not None, "these are the requests about features"
        answers = {field["id"]: _answer(field) for field in request.fields}
        await client.change(Kind.ANSWER, "feature_answer_human_input", request.feature_id, answers=answers)
        demo.progress.answers += 1
        demo.say_first(
            "answer", f"The {PERSON} answers about feature {request.feature_id}: its next holder gets the answer."
        )


async def _retry_all(demo: DemoState, client: AgentClient) -> None:
    stuck = await client.ask("feature_search", status=Status.STUCK.value, limit=100)
    for row in stuck["features"]:
        await client.change(Kind.RETRY, "feature_update", row["id"], retry=True)
        demo.progress.retries += 1
        demo.say_first("retry", f"The {PERSON} retries stuck feature {row['id']}: it is pending again.")


def _answer(field: dict[str, Any]) -> str | bool:
    if field.get("type") == "boolean":
        return True
    return str(field["options"][0]) if field.get("options") else "Do as you think best."
