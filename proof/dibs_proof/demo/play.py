"""The play: start the servers, raise the curtain, and let the agents work until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import anyio
from mcp.shared.exceptions import MCPError

from dibs.client import ServerGone
from dibs.database import Database
from dibs_proof.demo.accident import Accident
from dibs_proof.demo.agent import Agent
from dibs_proof.demo.backlog import Start
from dibs_proof.demo.person import look_after
from dibs_proof.demo.plan import Plan, script
from dibs_proof.demo.race import Race
from dibs_proof.demo.records import Records
from dibs_proof.demo.scene import PERSON, Scene, Screen, Seat, Tone
from dibs_proof.demo.stage import Stage
from dibs_schema.refusals import Refusal

FRAME = 0.1
"""Seconds between two pictures."""


@dataclass(frozen=True, slots=True)
class Performance:
    """What all the clients saw, and when; times in seconds of the monotonic clock.

    `broken_off` says why the play did not reach its end, if it did not.
    """

    records: Records
    accident: Accident
    lease: float
    began: float
    curtain_at: float
    over_at: float
    broken_off: str


async def play(plan: Plan, start: Start, database: Database, log: IO[bytes], screen: Screen) -> Performance:
    """Drain the backlog before the audience's eyes, and return what all the clients saw.

    A play that stalls, and one in which a server fails or refuses what it must not, is broken off.
    """
    stage = _set(plan, start, database, log, screen)
    broken_off = ""
    try:
        async with anyio.create_task_group() as house:
            house.start_soon(_watch, stage, house.cancel_scope)
            async with anyio.create_task_group() as everybody:
                everybody.start_soon(_person, stage)
                async with anyio.create_task_group() as agents:
                    for seat in stage.scene.seats:
                        agents.start_soon(Agent(seat, stage).run)
                stage.over.set()
            house.cancel_scope.cancel()
        if not stage.over.is_set():
            broken_off = f"nothing has happened for {plan.patience:g} s"
    except BaseExceptionGroup as group:
        broken_off = _reason(group)
    if broken_off:
        stage.say(f"BROKEN OFF  {broken_off}", Tone.BAD)
    over_at = time.monotonic()
    return Performance(
        records=stage.records,
        accident=stage.accident,
        lease=plan.lease,
        began=stage.scene.began,
        curtain_at=stage.curtain_at or over_at,
        over_at=over_at,
        broken_off=broken_off,
    )


def _set(plan: Plan, start: Start, database: Database, log: IO[bytes], screen: Screen) -> Stage:
    seats = [Seat(f"agent-{number}") for number in range(1, plan.agents + 1)]
    return Stage(
        plan=plan,
        fates=script(start.open, plan.seed),
        database=database,
        log=log,
        scene=Scene(len(start.statuses), seats, plan.lease),
        screen=screen,
        records=Records(),
        accident=Accident(after=len(start.open) // 3),
    )


async def _person(stage: Stage) -> None:
    """Raise the curtain when every server is up, then look after the backlog until the play is over."""
    async with stage.server(PERSON, "planner") as caller:
        await stage.all_up.wait()
        ready = (await caller.ask("feature_get_ready", limit=1))["features"]
        count = len(stage.scene.seats)
        stage.say(f"{count} agents' servers and a person's are up after {stage.scene.elapsed:.1f} s.")
        if ready:
            stage.race = Race(ready[0]["id"], count)
        stage.curtain_at = time.monotonic()
        stage.records.heard_at = stage.curtain_at
        stage.curtain.set()
        if stage.race is not None:
            await stage.race.over.wait()
            stage.say(
                f"RACE        All {count} ask for feature {stage.race.feature} in the same moment: {stage.race}."
            )
        await look_after(stage, caller)


async def _watch(stage: Stage, scope: anyio.CancelScope) -> None:
    """Draw the picture, and break off a play that goes nowhere, so that its verdict can say so."""
    while time.monotonic() - stage.records.heard_at < stage.plan.patience:
        stage.screen.draw(stage.scene)
        await anyio.sleep(FRAME)
    scope.cancel()


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """What a server did that it must not do; where something else went wrong, the group is raised again."""
    for one in _leaves(group):
        if isinstance(one, ServerGone | MCPError):
            return str(one)
        if isinstance(one, Refusal):
            return f"a call was refused that must be granted ({one.code}): {one.message}"
    raise group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one
