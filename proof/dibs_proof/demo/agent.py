"""A coding agent: claims, builds (or pretends to), reports, and claims the next, until nothing is left."""

from __future__ import annotations

from random import Random

import anyio

from dibs_proof.checks.observations import Holding
from dibs_proof.demo import killing
from dibs_proof.demo.caller import Caller
from dibs_proof.demo.outcome import report
from dibs_proof.demo.plan import Fate, work_time
from dibs_proof.demo.scene import Doing, Seat, Tone
from dibs_proof.demo.stage import Stage
from dibs_schema.refusals import ClaimLost, Refusal
from dibs_schema.status import Kind

WAIT = 1.0
"""Seconds that a claim waits for work before the agent asks again."""
RIVALRY = 0.08
"""How often an agent reaches for a feature that another one holds."""
NOTHING_LEFT = ("complete", "empty")


class Agent:
    """One agent in its seat, with a server of its own, and with a second one after it was killed."""

    def __init__(self, seat: Seat, stage: Stage) -> None:
        self._seat = seat
        self._stage = stage
        self._random = Random(f"{stage.plan.seed}:{seat.name}")

    async def run(self) -> None:
        """Work until every feature is done. Raises ServerGone where a server ends that was not killed."""
        async with self._stage.server(self._seat.name, "coder") as caller:
            self._stage.take_seat(self._seat, caller.client.process.pid)
            await self._stage.curtain.wait()
            lost = await self._work(caller, await self._race(caller))
        if lost is not None:
            async with self._stage.server(self._seat.name, "coder") as caller:
                self._stage.take_seat(self._seat, caller.client.process.pid)
                await killing.come_back(self._stage, self._seat, caller, lost)
                await self._work(caller, None)
        self._seat.is_at(Doing.DONE)

    async def _race(self, caller: Caller) -> Holding | None:
        race = self._stage.race
        if race is None:
            return None
        try:
            won = await caller.claim_this(race.feature)
        except Refusal as refusal:
            race.lost(refusal.code)
            return None
        race.won(self._seat.name)
        self._seat.is_at(Doing.WORKING, won)
        await race.over.wait()
        return won

    async def _work(self, caller: Caller, holding: Holding | None) -> Holding | None:
        """Work until nothing is left, or until this agent's server is killed: then what it held."""
        stage, seat = self._stage, self._seat
        while holding or (holding := await self._next(caller)):
            seat.claims += 1
            seat.is_at(Doing.WORKING, holding)
            has_a_fate = holding.feature in stage.fates  # which would not come about
            claims, attempt = len(stage.records.holdings), stage.records.attempts[holding.feature]
            if not has_a_fate and stage.accident.is_due(claims, attempt):
                await killing.kill(stage, seat, caller, holding)
                return holding
            try:
                await self._build(caller, holding)
            except ClaimLost:
                stage.say(
                    f"LATE        {seat.name} was too slow; its claim on {holding} had run out.", Tone.BAD
                )
            holding = None
        return None

    async def _next(self, caller: Caller) -> Holding | None:
        """The next claim, or None when nothing is left to do."""
        self._seat.is_at(Doing.ASKING)
        others = self._stage.records.held_by_others(self._seat.name)
        if others and self._random.random() < RIVALRY:
            try:
                return await caller.claim_this(self._random.choice(others))
            except Refusal:
                pass  # as it should be, and counted
        found = await caller.claim_next()
        while isinstance(found, str) and found not in NOTHING_LEFT:
            self._seat.is_at(Doing.WAITING)
            found = await caller.claim_next(wait=WAIT)
        return found if isinstance(found, Holding) else None

    async def _build(self, caller: Caller, holding: Holding) -> None:
        stage, me = self._stage, self._seat.name
        attempt = stage.records.attempts[holding.feature]
        fates = stage.fates.get(holding.feature, ())
        fate = fates[attempt - 1] if attempt <= len(fates) else Fate.PASS
        if stage.accident.is_take_over(holding):
            await killing.show_take_over(stage, holding)
            fate = Fate.PASS
        await anyio.sleep(work_time(stage.plan.seed, holding.feature, attempt))
        note = f"Attempt {attempt}: {me} was here (dibs demo)."
        await caller.move(Kind.NOTE, "feature_add_note", holding.feature, text=note)
        self._seat.is_at(Doing.REPORTING)  # from here on another may have it
        await report(stage, self._seat, caller, holding, fate)
