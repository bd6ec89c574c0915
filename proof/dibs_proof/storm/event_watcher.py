"""The times at which the events of a storm were committed."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio

from dibs.database import Database
from dibs_proof.history.dependencies import Span
from dibs_proof.read_database import read_new
from dibs_schema.refusals import Refusal

PAUSE = 0.2
"""Seconds between two reads of the events."""
OVERLAP = 500
"""The number of events that are read again: an event with a later number may be committed earlier."""
TICK = 0.05
"""Seconds by which a pause may be too long before the machine counts as overloaded."""


class Seen(NamedTuple):
    """The earliest and the latest time of an event's commit, in seconds of the monotonic clock."""

    low: float
    high: float


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
