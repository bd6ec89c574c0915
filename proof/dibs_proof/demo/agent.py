"""A coding agent of the demo: it claims, pretends to work, reports, and claims again, until nothing is left."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio

from dibs.platform.signals import kill
from dibs_proof.demo.plan import Outcome, work_time
from dibs_proof.demo.screen import Activity, AgentStatus, Tone
from dibs_proof.demo.state import AgentClient, DemoState, LateCall
from dibs_proof.holding import Holding
from dibs_proof.read_database import read_row
from dibs_proof.recording_client import disturb
from dibs_schema.refusals import ClaimLost, Refusal
from dibs_schema.status import Kind, Status

WAIT = 1.0
"""Seconds that a claim waits for work before the agent asks again."""
RIVALRY = 0.08
"""The share of claims that ask for a feature of another holder."""
NOTHING_LEFT = ("complete", "empty")
REFUSAL_TIMEOUT = 30.0
"""Seconds for which the new holder waits to see the killed agent refused."""
EVIDENCE = {
    "summary": "Built and tested (pretended by dibs demo).",
    "commands": [{"command": "make test", "exit_code": 0}],
}
QUESTION: dict[str, Any] = {
    "prompt": "Which way should this be built?",
    "fields": [
        {"id": "way", "label": "Way", "type": "select", "options": ["the simple one", "the fast one"]},
        {"id": "why", "label": "Why", "type": "text", "required": False},
    ],
}
LATE_CALLS: dict[str, dict[str, Any]] = {
    "feature_mark_passing": {"evidence": EVIDENCE},
    "feature_mark_failing": {"reason": "Too late (pretended by dibs demo)."},
    "feature_skip": {"reason": "Too late (pretended by dibs demo)."},
}
"""The calls of an agent that does not know that its claim is lost, with their arguments."""


class Agent:
    """One agent with its own server, and with another server if the first is killed."""

    def __init__(self, status: AgentStatus, demo: DemoState) -> None:
        self._status = status
        self._demo = demo
        self._random = Random(f"{demo.plan.seed}:{status.name}")

    async def run(self) -> None:
        """Work until every feature is done. Raises ServerGone if a server ends that was not killed."""
        async with self._demo.server(self._status.name, "coder") as client:
            self._demo.server_started(self._status, client.client.process.pid)
            await self._demo.begun.wait()
            lost = await self._work(client, await self._race(client))
        if lost is not None:
            async with self._demo.server(self._status.name, "coder") as client:
                self._demo.server_started(self._status, client.client.process.pid)
                await self._try_lost_token(client, lost)
                await self._work(client, None)
        self._status.set(Activity.DONE)

    async def _race(self, client: AgentClient) -> Holding | None:
        race = self._demo.race
        if race is None:
            return None
        try:
            won = await client.claim_feature(race.feature)
        except Refusal as refusal:
            race.lost(refusal.code)
            return None
        race.won(self._status.name)
        self._status.set(Activity.WORKING, won)
        await race.over.wait()
        return won

    async def _work(self, client: AgentClient, holding: Holding | None) -> Holding | None:
        """Work until nothing is left, or until this agent's server is killed; then return its claim."""
        demo, status = self._demo, self._status
        while holding or (holding := await self._next(client)):
            status.claims += 1
            status.set(Activity.WORKING, holding)
            has_planned_outcome = holding.feature in demo.outcomes  # which a kill would prevent
            claims, attempt = len(demo.records.holdings), demo.records.attempts[holding.feature]
            if not has_planned_outcome and demo.kill.is_due(claims, attempt):
                await self._be_killed(client, holding)
                return holding
            try:
                await self._build(client, holding)
            except ClaimLost:
                demo.say(f"LATE        {status.name} was too slow; its claim of {holding} had expired.", Tone.BAD)
            holding = None
        return None

    async def _next(self, client: AgentClient) -> Holding | None:
        """Return the next claim, or None when nothing is left to do."""
        self._status.set(Activity.ASKING)
        others = self._demo.records.held_by_others(self._status.name)
        if others and self._random.random() < RIVALRY:
            try:
                return await client.claim_feature(self._random.choice(others))
            except Refusal:
                pass  # the client has counted the refusal, which is expected
        found = await client.claim_next()
        while isinstance(found, str) and found not in NOTHING_LEFT:
            self._status.set(Activity.WAITING)
            found = await client.claim_next(wait=WAIT)
        return found if isinstance(found, Holding) else None

    async def _build(self, client: AgentClient, holding: Holding) -> None:
        demo, name = self._demo, self._status.name
        attempt = demo.records.attempts[holding.feature]
        planned = demo.outcomes.get(holding.feature, ())
        outcome = planned[attempt - 1] if attempt <= len(planned) else Outcome.PASS
        if demo.kill.is_take_over(holding):
            await self._show_take_over(holding)
            outcome = Outcome.PASS
        await anyio.sleep(work_time(demo.plan.seed, holding.feature, attempt))
        note = f"Attempt {attempt}: {name} was here (dibs demo)."
        await client.change(Kind.NOTE, "feature_add_note", holding.feature, text=note)
        self._status.set(Activity.REPORTING)  # from now on another agent may hold the feature
        await self._report(client, holding, outcome)

    async def _report(self, client: AgentClient, holding: Holding, outcome: Outcome) -> None:
        """End the claim with its outcome. Raises ClaimLost if the lease has expired."""
        demo, name = self._demo, self._status.name
        if outcome is Outcome.PASS:
            await client.end(Kind.PASS, "feature_mark_passing", holding, evidence=EVIDENCE)
            self._status.passed += 1
        elif outcome is Outcome.FAIL:
            reason = "Two of its tests fail (pretended by dibs demo)."
            done = await client.end(Kind.FAIL, "feature_mark_failing", holding, reason=reason)
            if done["status"] == Status.STUCK:
                failures = done["failures"]
                demo.say_first("stuck", f"{holding} failed {failures} times: it is stuck until a person looks.")
            else:
                demo.say_first("fail", f"{name} fails {holding}: after a back-off it is ready again.")
        elif outcome is Outcome.SKIP:
            reason = "Its service is not there yet (pretended by dibs demo)."
            await client.end(Kind.SKIP, "feature_skip", holding, reason=reason)
            demo.say_first("skip", f"{name} skips {holding}: it goes to the end of the queue.")
        else:
            await client.end(Kind.ASK, "feature_request_human_input", holding, **QUESTION)
            demo.say_first("ask", f"{name} asks a person about {holding}, and takes another feature meanwhile.")

    async def _be_killed(self, client: AgentClient, holding: Holding) -> None:
        """Kill this agent's server while it holds a claim; SIGKILL leaves it no time to release it."""
        demo, status = self._demo, self._status
        demo.kill.begin(holding, demo.plan.lease)
        disturb(client.client, kill)
        await client.client.process.wait()
        status.set(Activity.KILLED, holding)
        demo.say(
            f"KILLED      {status.name}'s server (pid {status.pid}) is killed by SIGKILL while it holds {holding}. "
            f"No other agent gets this feature until the lease of {demo.plan.lease:g} s has expired.",
            Tone.BAD,
        )

    async def _show_take_over(self, holding: Holding) -> None:
        """Print that the killed agent's feature has a new holder, and keep the claim until the killed agent was refused."""
        after = holding.given_at - self._demo.kill.at
        self._demo.say(
            f"TAKEN OVER  {holding.agent} gets {holding}, {after:.1f} s after the kill, and continues its work.",
            Tone.GOOD,
        )
        self._demo.kill.taken_over.set()
        with anyio.move_on_after(REFUSAL_TIMEOUT):
            await self._demo.kill.refused.wait()

    async def _try_lost_token(self, client: AgentClient, lost: Holding) -> None:
        """Wait until another agent has the feature, and then try every call that ends a claim."""
        demo = self._demo
        self._status.set(Activity.RESTARTED, lost)
        await demo.kill.taken_over.wait()
        for tool, arguments in LATE_CALLS.items():
            before = await demo.database.read(lambda tx: read_row(tx, lost.feature))
            code = await client.refused(tool, lost, **arguments)
            after = await demo.database.read(lambda tx: read_row(tx, lost.feature))
            demo.kill.late_calls.append(LateCall(tool, code, before, after))
        codes = " and ".join(sorted({call.code or "an acknowledgement" for call in demo.kill.late_calls}))
        demo.say(
            f"REFUSED     {self._status.name} is back, tries to pass, fail and skip {lost} with its old token, "
            f"and gets {codes}.",
            Tone.GOOD,
        )
        demo.kill.refused.set()
