"""The state of a running storm, and the times at which its events were committed."""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dibs.database import Database
from dibs_proof.events import Seen, read_new
from dibs_proof.history.dependencies import Span
from dibs_proof.storm.child_processes import ProcessCleanup
from dibs_proof.storm.disturbances import ForeignLocks, WallClock
from dibs_proof.storm.plan import Plan
from dibs_schema.refusals import Refusal

PAUSE = 0.2
"""Seconds between two reads of the events."""
OVERLAP = 500
"""The number of events that are read again: of concurrent writers, one with a later number may commit earlier."""
TICK = 0.05
"""Seconds by which a pause may be too long before the machine counts as overloaded."""


@dataclass(slots=True)
class EventWatcher:
    """The times when each event was `seen` first, and when the machine was too busy to run this process.

    A pause needs nothing but a processor, so one that lasts too long measures the machine's load. Each read runs in its
    own thread and waits for no writer.
    """

    database: Database
    seen: dict[int, Seen] = field(default_factory=dict)
    overloaded: list[Span] = field(default_factory=list)
    _last: int = 0
    _before: float = -math.inf

    async def watch(self) -> None:
        """Read repeatedly until cancelled."""
        while True:
            await self.read()
            began = time.monotonic()
            await anyio.sleep(PAUSE)
            if time.monotonic() > began + PAUSE + TICK:
                self.overloaded.append((began + PAUSE, time.monotonic()))

    async def read(self) -> None:
        """Read the new events once."""
        began = time.monotonic()
        with suppress(Refusal):  # the next read will see them
            since = self._last - OVERLAP
            new = await anyio.to_thread.run_sync(self.database.read_now, lambda tx: read_new(tx, since))
            ended = time.monotonic()
            for number in new:
                self.seen.setdefault(number, Seen(self._before, ended))
                self._last = max(self._last, number)
            self._before = began

    def of(self, event: int) -> Seen:
        """Return the earliest and the latest time at which the event may have been committed."""
        return self.seen.get(event, Seen(self._before, math.inf))


@dataclass(slots=True)
class StormState:
    """The plan, and the events of the run: the ends of servers, answers, refusals, and faults (`wrong`).

    Clients record their calls in the folder `histories`; servers and foreign programs log to the folder `log`.
    `not_released` are clients whose servers logged that they could not release claims; `not_taken_back` has a line for
    each claim of a dead holder that was not reaped. In the spans `without_servers` no server ran.

    `begun` is set when as many calls have been answered as there are agents, and `over` when agents must stop.
    """

    plan: Plan
    log: Path
    histories: Path
    watcher: EventWatcher
    clock: WallClock
    foreign_locks: ForeignLocks
    cleanup: ProcessCleanup
    ends: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    not_released: set[str] = field(default_factory=set)
    not_taken_back: list[str] = field(default_factory=list)
    without_servers: list[Span] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    def count_answer(self) -> None:
        """Count one answered call."""
        self.answers += 1
        if self.answers == self.plan.agents:
            self.begun.set()
