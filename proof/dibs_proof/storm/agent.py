"""An agent of the storm: it uses one server after another, and ends each one in a random way."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from random import Random
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError

from dibs.client import ServerGone
from dibs.platform.signals import CAN_SIGNAL, CLOSED_TERMINAL, KILLED
from dibs_proof.random_workload import EVERY_TOOL, TESTING, Calls, Memory, draw
from dibs_proof.recording_client import RecordingClient
from dibs_proof.storm.plan import FEATURES
from dibs_proof.storm.state import StormState
from dibs_schema.refusals import Refusal

NAMED = 0.5
"""The share of servers with an agent name. The claims of one name are counted in total, on all its connections."""
ADOPTING = 0.5
"""The share of servers that are started for one claim of the server before, if that had any."""
TESTERS = 0.2
"""The share of the other servers with the role of a tester."""
OTHER_CLOCK = 0.3
"""The share of servers that use the wall clock that jumps."""
MOST_CALLS = 60
NOT_RELEASED = b"claims were not released"
"""The line that a server logs at its end if the database was locked."""
LONGEST_DELAY = 0.3
"""The longest delay in seconds before a server is killed during calls."""
PROMPT = 10.0
"""Seconds within which a server that is asked to end must have ended."""


class ServerEnd(StrEnum):
    """The ways in which a server ends."""

    KILLED = "killed at rest"
    KILLED_IN_A_CALL = "killed in a call"
    TERMINATED = "ended by SIGTERM"
    TERMINAL_CLOSED = "ended by SIGHUP"
    STOPPED = "stopped for longer than its leases"
    CLOSED = "its input closed"
    NOT_READ = "its answers not read"


BY_SIGKILL = (ServerEnd.KILLED, ServerEnd.KILLED_IN_A_CALL, ServerEnd.STOPPED)
"""The ways whose last step is SIGKILL."""
BY_SIGNAL = {ServerEnd.TERMINATED: signal.SIGTERM, ServerEnd.TERMINAL_CLOSED: CLOSED_TERMINAL}
RECONNECTS = 0.5
"""The share of servers that ended cleanly after which the agent goes on with its tokens on the next server."""
WEIGHTS = {
    ServerEnd.KILLED: 4,
    ServerEnd.KILLED_IN_A_CALL: 8,
    ServerEnd.TERMINATED: 2,
    ServerEnd.TERMINAL_CLOSED: 2,
    ServerEnd.STOPPED: 2,
    ServerEnd.CLOSED: 2,
    ServerEnd.NOT_READ: 2,
}


if not CAN_SIGNAL:
    WEIGHTS = {how: weight for how, weight in WEIGHTS.items() if how not in (*BY_SIGNAL, ServerEnd.STOPPED)}


def choose(chance: Random) -> ServerEnd:
    """Choose at random how the next server ends."""
    return chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


async def end(recorder: RecordingClient, how: ServerEnd) -> str | None:
    """End a server at rest, and return what went wrong as a line, or None if nothing did."""
    began = time.monotonic()
    if how in BY_SIGKILL:
        recorder.kill()
    elif how in BY_SIGNAL:
        recorder.terminate(BY_SIGNAL[how])
    else:
        recorder.hang_up()
    with anyio.move_on_after(PROMPT):
        status = await recorder.client.process.wait()
        if status != (KILLED if how in BY_SIGKILL else 0):
            return f"a server ({how}) ended with status {status}"
        return None
    took = time.monotonic() - began
    return f"a server ({how}) had not ended after {took:.1f} s"


class Agent:
    """One agent, its memory, and its current server."""

    def __init__(self, number: int, storm: StormState) -> None:
        self._name = f"agent-{number}"
        self._storm = storm
        self._chance = storm.plan.chance(self._name)
        self._memory = Memory(self._chance, FEATURES, self._name)
        self._calls: Calls = EVERY_TOOL
        self._servers = 0
        self._log = storm.log / f"{self._name}.log"

    async def run(self) -> None:
        """Use one server after another, until the storm is over."""
        how_ended: ServerEnd | None = None
        while not self._storm.over.is_set():
            self._servers += 1
            how = choose(self._chance)
            named = self._chance.random() < NAMED
            other_clock = self._chance.random() < OTHER_CLOCK and not self._storm.plan.has_own_clock
            environment = dict(self._storm.clock.environment) if other_clock else {}
            is_tester = False
            if self._memory.claims and self._chance.random() < ADOPTING:
                feature, token = self._chance.choice(list(self._memory.claims.items()))
                self._memory.adopt(feature, token)
                environment["DIBS_CLAIM"] = token
                named = True  # a note on the feature would show the name of the claim's holder
            elif how_ended in BY_SIGKILL or self._chance.random() > RECONNECTS:
                self._memory.end_all_claims()
                is_tester = self._chance.random() < TESTERS
            how_ended = how
            try:
                await self._use_one(how, environment, named=named, is_tester=is_tester)
            except* ServerGone:
                self._storm.wrong.append(f"a server of {self._name} ended by itself")

    async def _use_one(self, how: ServerEnd, environment: Mapping[str, str], *, named: bool, is_tester: bool) -> None:
        storm = self._storm
        agent, role = self._name if named else None, "tester" if is_tester else None
        self._calls = TESTING if is_tester else EVERY_TOOL
        flags = [*(["--agent", agent] if agent else []), *(["--role", role] if role else [])]
        client = f"{self._name}.{self._servers}"
        async with (
            self._logged(client) as log,
            RecordingClient.start(
                storm.plan.command(*flags),
                storm.histories / f"{self._name}.jsonl",
                client,
                environment,
                lease=storm.plan.lease,
                agent=agent,
                role=role,
                stderr=log,
            ) as recorder,
        ):
            with storm.cleanup.registered(recorder.client.process.pid):
                if "DIBS_CLAIM" in environment:
                    await self._ask(recorder, "feature_claim_and_get", {})
                await self._make_calls(recorder, how, named=named)

    async def _make_calls(self, recorder: RecordingClient, how: ServerEnd, *, named: bool) -> None:
        self._memory.named = named
        if not named:  # the note's event shows the name that the server gave to the connection
            note = {"feature_id": self._memory.feature(), "text": recorder.name}
            await self._ask(recorder, "feature_add_note", note)
        for _ in range(self._chance.randrange(MOST_CALLS)):
            if self._storm.over.is_set():
                break
            await self._call(recorder)
        await self._end(how, recorder)
        self._storm.ends[how] += 1

    @asynccontextmanager
    async def _logged(self, client: str) -> AsyncIterator[int]:
        """Open the log of one server, and check at the end whether the server could not release its claims."""
        with self._log.open("ab") as log:
            before = log.tell()
            yield log.fileno()
        if NOT_RELEASED in self._log.read_bytes()[before:]:
            self._storm.not_released.add(client)

    async def _call(self, recorder: RecordingClient) -> None:
        await self._ask(recorder, *draw(self._memory, self._calls))

    async def _ask(self, recorder: RecordingClient, tool: str, arguments: dict[str, Any]) -> None:
        try:
            answer = await recorder.call(tool, **arguments)
        except ServerGone:
            self._memory.miss_answer((tool, arguments))
            raise
        except Refusal as refusal:
            self._storm.refusals[refusal.code] += 1
            has_ended = refusal.code == "forbidden" and "status" in refusal.details  # the claim of an adopting server
            if refusal.code == "claim_lost" or has_ended:
                self._memory.end_claim(refusal.details.get("id"))  # also if a repeated claim was refused
        except (MCPError, KeyError) as error:  # a protocol error, or a refusal with an unknown code
            self._storm.wrong.append(f"{tool} got an answer that no tool may give: {error!r}")
        else:
            self._storm.count_answer()
            self._memory.learn(answer, tool)

    async def _end(self, how: ServerEnd, recorder: RecordingClient) -> None:
        if how is ServerEnd.KILLED_IN_A_CALL:
            await self._kill_in_a_call(recorder)
        elif how is ServerEnd.STOPPED:
            await self._stop(recorder)
        elif how is ServerEnd.NOT_READ:
            await self._stop_reading(recorder)
        wrong = await end(recorder, how)
        if wrong is not None:
            self._storm.wrong.append(wrong)

    async def _kill_in_a_call(self, recorder: RecordingClient) -> None:
        delay = self._chance.uniform(0, LONGEST_DELAY)

        async def kill() -> None:
            await anyio.sleep(delay)
            recorder.kill()

        async with anyio.create_task_group() as both:
            both.start_soon(kill)
            with suppress(ServerGone):
                while True:
                    await self._call(recorder)

    async def _stop(self, recorder: RecordingClient) -> None:
        """Stop the server until its leases have expired, then continue it."""
        recorder.stop()
        await anyio.sleep(self._chance.uniform(self._storm.plan.lease, self._storm.plan.longest_stop))
        recorder.go_on()
        for _ in range(10):
            await self._call(recorder)

    async def _stop_reading(self, recorder: RecordingClient) -> None:
        """Make one more call, and do not read the answer."""
        async with anyio.create_task_group() as both:
            both.start_soon(self._last_call, recorder)
            await anyio.sleep(self._chance.uniform(0, 0.05))
            recorder.stop_reading()

    async def _last_call(self, recorder: RecordingClient) -> None:
        with suppress(ServerGone):
            await self._call(recorder)
