"""A witness of the journal: when each of its events came to be seen, by a clock that nobody sets."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from dibs.database import Database
from dibs_proof.checks.journal import read_new
from dibs_proof.checks.observations import Seen
from dibs_schema.refusals import Refusal

PAUSE = 0.2
"""Seconds between two looks."""
OVERLAP = 500
"""Events that are looked for again: where many write at once, a later number may be seen earlier."""

TICK = 0.05
"""Seconds by which a pause may be longer than asked for, without anybody being late."""

Span = tuple[float, float]


@dataclass(slots=True)
class Witness:
    """What was `seen` of the journal, and for how long the machine had no time for this very process.

    A tick that comes late is the measure of the machine's load: it asks for nothing but a processor. Looks are
    reads, which wait for nobody; each begins in a thread of its own.
    """

    database: Database
    seen: dict[int, Seen] = field(default_factory=dict)
    late: list[Span] = field(default_factory=list)
    _last: int = 0
    _before: float = -math.inf

    async def look_on(self) -> None:
        """Look now and then, for ever."""
        while True:
            await self.look()
            began = time.monotonic()
            await anyio.sleep(PAUSE)
            if time.monotonic() > began + PAUSE + TICK:
                self.late.append((began + PAUSE, time.monotonic()))

    async def look(self) -> None:
        """Look once."""
        began = time.monotonic()
        with suppress(Refusal):  # it will be seen by the next look
            since = self._last - OVERLAP
            new = await anyio.to_thread.run_sync(self.database.read_now, lambda tx: read_new(tx, since))
            ended = time.monotonic()
            for number in new:
                self.seen.setdefault(number, Seen(self._before, ended))
                self._last = max(self._last, number)
            self._before = began

    def of(self, event: int) -> Seen:
        """When the event came to be, at the earliest and at the latest."""
        return self.seen.get(event, Seen(self._before, math.inf))
