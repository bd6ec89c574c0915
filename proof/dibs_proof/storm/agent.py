"""An agent in the storm: one server after another, each used until it meets its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError

from dibs.client import ServerGone
from dibs_proof.history.recorder import Recorder
from dibs_proof.server_faults import stop_reading
from dibs_proof.storm.calls import Mind, draw
from dibs_proof.storm.context import Sky
from dibs_proof.storm.plan import FEATURES
from dibs_proof.storm.terminations import End, choose, end
from dibs_schema.refusals import Refusal

NAMED = 0.5
"""How many lives have a name, under which claims are counted over all connections."""
OTHER_CLOCK = 0.3
"""How many go by the wall clock that jumps."""
MOST_CALLS = 60
GAVE_UP = b"claims were not released"
"""What a server logs that ended while others kept it from the database."""
LONGEST_FUSE = 0.3
"""Seconds after its last quiet call at which a server is struck, whatever it does then."""


class Agent:
    """Lives one life after another until the storm is over."""

    def __init__(self, number: int, sky: Sky) -> None:
        self._name = f"agent-{number}"
        self._sky = sky
        self._chance = sky.plan.chance(self._name)
        self._mind = Mind(self._chance, FEATURES, self._name)
        self._lives = 0
        self._log = sky.log / f"{self._name}.log"

    async def run(self) -> None:
        """Live on and on."""
        while not self._sky.over.is_set():
            self._lives += 1
            how = choose(self._chance)
            named = self._chance.random() < NAMED
            elsewhen = self._chance.random() < OTHER_CLOCK and not self._sky.plan.has_own_clock
            clock = self._sky.clock.environment if elsewhen else {}
            try:
                await self._live(how, clock, named=named)
            except* ServerGone:
                self._sky.wrong.append(f"a server of {self._name} ended that nobody had touched")
            self._mind.lose_all()

    async def _live(self, how: End, clock: Mapping[str, str], *, named: bool) -> None:
        sky = self._sky
        agent = self._name if named else None
        client = f"{self._name}.{self._lives}"
        async with (
            self._heard(client) as log,
            Recorder.start(
                sky.plan.command(*(["--agent", agent] if agent else [])),
                sky.histories / f"{self._name}.jsonl",
                client,
                clock,
                lease=sky.plan.lease,
                agent=agent,
                stderr=log,
            ) as recorder,
        ):
            with sky.guardian.guarding(recorder.client.process.pid):
                await self._use(recorder, how, named=named)

    async def _use(self, recorder: Recorder, how: End, *, named: bool) -> None:
        self._mind.named = named
        if not named:  # how the journal calls it is found there beside this text
            note = {"feature_id": self._mind.feature(), "text": recorder.name}
            await self._ask(recorder, "feature_add_note", note)
        for _ in range(self._chance.randrange(MOST_CALLS)):
            if self._sky.over.is_set():
                break
            await self._call(recorder)
        await self._meet(how, recorder)
        self._sky.ends[how] += 1

    @asynccontextmanager
    async def _heard(self, client: str) -> AsyncIterator[int]:
        """The log of one server; whether it says that it could not give its claims back is looked up at its end."""
        with self._log.open("ab") as log:
            before = log.tell()
            yield log.fileno()
        if GAVE_UP in self._log.read_bytes()[before:]:
            self._sky.gave_up.add(client)

    async def _call(self, recorder: Recorder) -> None:
        await self._ask(recorder, *draw(self._mind))

    async def _ask(self, recorder: Recorder, tool: str, arguments: dict[str, Any]) -> None:
        try:
            answer = await recorder.call(tool, **arguments)
        except ServerGone:
            self._mind.miss((tool, arguments))
            raise
        except Refusal as refusal:
            self._sky.refusals[refusal.code] += 1
            if refusal.code == "claim_lost":
                self._mind.let_go(refusal.details.get("id"))  # also of a claim that was asked for again
        except (MCPError, KeyError) as error:  # an error of the protocol, or a refusal that is none of ours
            self._sky.wrong.append(f"{tool} was answered outside the tools' answers: {error!r}")
        else:
            self._sky.answered()
            self._mind.learn(answer)

    async def _meet(self, how: End, recorder: Recorder) -> None:
        if how is End.STRUCK:
            await self._strike(recorder)
        elif how is End.STOPPED:
            await self._stop(recorder)
        elif how is End.DEAF:
            await self._turn_deaf(recorder)
        wrong = await end(recorder, how)
        if wrong is not None:
            self._sky.wrong.append(wrong)

    async def _strike(self, recorder: Recorder) -> None:
        """Kill it while it is called on and on."""
        fuse = self._chance.uniform(0, LONGEST_FUSE)

        async def kill() -> None:
            await anyio.sleep(fuse)
            recorder.kill()

        async with anyio.create_task_group() as both:
            both.start_soon(kill)
            with suppress(ServerGone):
                while True:
                    await self._call(recorder)

    async def _stop(self, recorder: Recorder) -> None:
        """Stop it until others may have what it holds, then let it go on as if nothing had been."""
        recorder.stop()
        await anyio.sleep(self._chance.uniform(self._sky.plan.lease, self._sky.plan.longest_stop))
        recorder.go_on()
        for _ in range(10):
            await self._call(recorder)

    async def _turn_deaf(self, recorder: Recorder) -> None:
        """Ask once more, and do not wait for the answer."""
        async with anyio.create_task_group() as both:
            both.start_soon(self._last_call, recorder)
            await anyio.sleep(self._chance.uniform(0, 0.05))
            recorder.note("closed")
            stop_reading(recorder.client)

    async def _last_call(self, recorder: Recorder) -> None:
        with suppress(ServerGone):
            await self._call(recorder)
