"""What everybody on the stage shares."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

import anyio

from dibs.client import Client, server_command
from dibs.database import Database
from dibs_proof.demo.accident import Accident
from dibs_proof.demo.caller import Caller
from dibs_proof.demo.plan import Fate, Plan
from dibs_proof.demo.race import Race
from dibs_proof.demo.records import Records
from dibs_proof.demo.scene import Doing, Scene, Screen, Seat, Tone

PROJECT = "demo"
"""The project's name in the demo's database."""


@dataclass(slots=True)
class Stage:
    """The plan, the script of fates, the database and the servers' log, and what happens meanwhile.

    `all_up` is set when every agent has its server. `race` is known when `curtain` rises (at `curtain_at`,
    in seconds of the monotonic clock), and None where nothing is ready then. `over` is set when every
    agent has found nothing left to do.
    """

    plan: Plan
    fates: dict[int, tuple[Fate, ...]]
    database: Database
    log: IO[bytes]
    scene: Scene
    screen: Screen
    records: Records
    accident: Accident
    race: Race | None = None
    all_up: anyio.Event = field(default_factory=anyio.Event)
    curtain: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    curtain_at: float | None = None
    said: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def server(self, agent: str, role: str) -> AsyncIterator[Caller]:
        """A new server process with a client of its own, which has answered its first call."""
        flags = {
            "--db": str(self.plan.db),
            "--project": PROJECT,
            "--agent": agent,
            "--role": role,
            "--lease": f"{self.plan.lease:g}",
        }
        command = server_command(*(word for flag in flags.items() for word in flag))
        async with Client.start(command, name="dibs-demo", stderr=self.log.fileno()) as client:
            caller = Caller(client, agent, self.records, self.plan.lease)
            await caller.ask("feature_get_stats")
            yield caller

    def take_seat(self, seat: Seat, pid: int) -> None:
        """Note that an agent has its server."""
        self.records.heard_at = time.monotonic()
        seat.pid = pid
        seat.is_at(Doing.READY)
        if self.scene.started == len(self.scene.seats):
            self.all_up.set()

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Tell what happened."""
        self.screen.say(line, tone)

    def say_first(self, subject: str, line: str) -> None:
        """Tell what happened, but of each kind only the first: one shows what all are like."""
        if subject not in self.said:
            self.said.add(subject)
            self.screen.say(line)
