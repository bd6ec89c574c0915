"""The state of a running demo: the records of all clients, the race, the kill, and the clients themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import anyio

from dibs.client import Client, server_command
from dibs.database import Database
from dibs_proof.acknowledgements import Acknowledged
from dibs_proof.demo.plan import PROJECT, Outcome, Plan
from dibs_proof.demo.screen import Activity, AgentStatus, Progress, Screen, Tone
from dibs_proof.holding import Holding
from dibs_schema.refusals import Busy, ClaimLost, Refusal
from dibs_schema.status import Kind

BUSY_PAUSE = 0.1
"""Seconds before a call that found the database busy is repeated."""


@dataclass(frozen=True, slots=True)
class LateCall:
    """A call with a lost token: the refusal's code (None if it was accepted), and the row before and after it."""

    tool: str
    code: str | None
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(slots=True)
class Records:
    """What all clients saw; times in seconds of the monotonic clock."""

    holdings: list[Holding] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    claim_times: list[float] = field(default_factory=list)
    passed_at: list[float] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    last_answer_at: float = field(default_factory=time.monotonic)

    def add_claim(self, holding: Holding) -> None:
        """Record a claim."""
        self.holdings.append(holding)
        self.attempts[holding.feature] += 1
        self.acknowledge(Kind.CLAIM, holding.feature, holding.agent, "in_progress")

    def acknowledge(self, kind: Kind, feature: int, agent: str, status: str) -> None:
        """Record an acknowledgement."""
        self.last_answer_at = time.monotonic()
        self.acknowledged.append(Acknowledged(kind, feature, agent, status))
        if kind is Kind.PASS:
            self.passed_at.append(self.last_answer_at)

    def count(self, kind: Kind) -> int:
        """Return how many transitions of `kind` were acknowledged."""
        return sum(one.kind is kind for one in self.acknowledged)

    def held_by_others(self, agent: str) -> list[int]:
        """Return the features that other agents hold, according to their own records."""
        recent = self.holdings[-200:]  # each agent holds at most one, so older claims have ended
        return [one.feature for one in recent if one.until is None and one.agent != agent]


class Race:
    """All agents claim `feature` at once. `over` is set when each of them has won or was refused."""

    def __init__(self, feature: int, agents: int) -> None:
        self.feature = feature
        self.over = anyio.Event()
        self.winners: list[str] = []
        self.refusals: Counter[str] = Counter()
        self._agents = agents

    def won(self, agent: str) -> None:
        """Record that an agent got the feature."""
        self.winners.append(agent)
        self._answered()

    def lost(self, code: str) -> None:
        """Record the code with which an agent was refused."""
        self.refusals[code] += 1
        self._answered()

    def _answered(self) -> None:
        if len(self.winners) + self.refusals.total() == self._agents:
            self.over.set()

    def __str__(self) -> str:
        refused = ", ".join(
            f"{count} {'was' if count == 1 else 'were'} refused with {code}" for code, count in self.refusals.items()
        )
        return f"{' and '.join(self.winners) or 'no agent'} got it, {refused}"


class Kill:
    """The kill of one server, after more than `after` claims, at the first attempt of a feature.

    `taken_over` is set when another agent has claimed the feature, and `refused` when the killed agent has come back
    and was refused. Until then the new holder keeps the feature.
    """

    def __init__(self, after: int) -> None:
        self.victim: Holding | None = None
        self.new_holder: Holding | None = None
        self.at = 0.0
        self.late_calls: list[LateCall] = []
        self.taken_over = anyio.Event()
        self.refused = anyio.Event()
        self._after = after

    def is_due(self, claims: int, attempt: int) -> bool:
        """Return whether to kill the server of an agent that has just begun the `attempt`-th attempt of a feature."""
        return self.victim is None and claims > self._after and attempt == 1

    def begin(self, victim: Holding, lease: float) -> None:
        """Record the claim of the killed server, which stays valid until its lease expires."""
        self.victim = victim
        self.at = time.monotonic()
        victim.until = victim.asked_at + lease

    def is_take_over(self, holding: Holding) -> bool:
        """Return whether this claim is the first to take over the killed agent's feature; if so, record it."""
        if self.victim is None or self.new_holder is not None or holding.feature != self.victim.feature:
            return False
        self.new_holder = holding
        return True


class AgentClient:
    """Calls the tools of one server as `agent`, and records every answer."""

    def __init__(self, client: Client, agent: str, records: Records, lease: float) -> None:
        self.client = client
        self._agent = agent
        self._records = records
        self._lease = lease

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and repeat the call while the database is busy. Raises Refusal, which is counted, and ServerGone."""
        while True:
            try:
                return await self.client.call(tool, **arguments)
            except Busy as refusal:
                self._records.refusals[refusal.code] += 1
                await anyio.sleep(BUSY_PAUSE)
            except Refusal as refusal:
                self._records.refusals[refusal.code] += 1
                raise

    async def claim_feature(self, feature: int) -> Holding:
        """Claim one feature. Raises Refusal."""
        found = await self._claim(feature_id=feature)
        assert isinstance(found, Holding), "a claim by id succeeds or is refused"
        return found

    async def claim_next(self, wait: float = 0) -> Holding | str:
        """Claim the next ready feature, and wait up to `wait` seconds for one. Return the claim, or the idle state."""
        return await self._claim(wait_seconds=wait)

    async def _claim(self, **arguments: Any) -> Holding | str:
        asked_at = time.monotonic()
        answer = await self.ask("feature_claim_and_get", **arguments)
        given_at = time.monotonic()
        if answer["state"] != "claimed":
            return str(answer["state"])
        if not arguments.get("wait_seconds"):  # otherwise the time includes the wait for work
            self._records.claim_times.append(given_at - asked_at)
        work, token = answer["feature"], answer["claim"]["token"]
        holding = Holding(work["id"], work["name"], self._agent, token, asked_at, given_at)
        self._records.add_claim(holding)
        return holding

    async def end(self, kind: Kind, tool: str, holding: Holding, **arguments: Any) -> dict[str, Any]:
        """Make the call that ends a claim. Raises ClaimLost if the lease had expired before the call."""
        sent_at = time.monotonic()
        try:
            answer = await self.ask(tool, feature_id=holding.feature, claim_token=holding.token, **arguments)
        except ClaimLost:
            holding.until = holding.asked_at + self._lease
            raise
        holding.until = sent_at
        self._records.acknowledge(kind, holding.feature, self._agent, answer["status"])
        return answer

    async def change(self, kind: Kind, tool: str, feature: int, **arguments: Any) -> None:
        """Make a call that needs no claim."""
        answer = await self.ask(tool, feature_id=feature, **arguments)
        self._records.acknowledge(kind, feature, self._agent, answer["status"])

    async def refused(self, tool: str, holding: Holding, **arguments: Any) -> str | None:
        """Make a call that must be refused, and return the refusal's code, or None if it was accepted."""
        try:
            await self.ask(tool, feature_id=holding.feature, claim_token=holding.token, **arguments)
        except Refusal as refusal:
            return refusal.code
        return None


@dataclass(slots=True)
class DemoState:
    """The plan, the planned outcomes, the database, the servers' log, and the events of the run.

    `all_started` is set when every agent has its server. `begun` is set, at `begun_at` seconds of the monotonic clock,
    when the agents may begin; by then `race` is set, unless no feature is ready. `over` is set when no agent has
    anything left to do.
    """

    plan: Plan
    outcomes: dict[int, tuple[Outcome, ...]]
    database: Database
    log: IO[bytes]
    progress: Progress
    screen: Screen
    records: Records
    kill: Kill
    race: Race | None = None
    all_started: anyio.Event = field(default_factory=anyio.Event)
    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    begun_at: float | None = None
    printed: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def server(self, agent: str, role: str) -> AsyncIterator[AgentClient]:
        """Start a server with its own client, and wait until it has answered one call."""
        flags = {
            "--db": str(self.plan.db),
            "--project": PROJECT,
            "--agent": agent,
            "--role": role,
            "--lease": f"{self.plan.lease:g}",
        }
        command = server_command(*(word for flag in flags.items() for word in flag))
        async with Client.start(command, name="dibs-demo", stderr=self.log.fileno()) as client:
            recording = AgentClient(client, agent, self.records, self.plan.lease)
            await recording.ask("feature_get_stats")
            yield recording

    def server_started(self, agent: AgentStatus, pid: int) -> None:
        """Record that an agent has its server."""
        self.records.last_answer_at = time.monotonic()
        agent.pid = pid
        agent.set(Activity.READY)
        if self.progress.started == len(self.progress.agents):
            self.all_started.set()

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line."""
        self.screen.say(line, tone)

    def say_first(self, subject: str, line: str) -> None:
        """Print the line only if it is the first about `subject`."""
        if subject not in self.printed:
            self.printed.add(subject)
            self.screen.say(line)
