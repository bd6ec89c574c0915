"""A claim that waits for work, whoever asks for it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from dibs.database import Database
from dibs.queries.queue_state import look_ahead
from dibs_schema.answers import Claimed, Idle
from dibs_schema.refusals import Busy

POLL = (0.08, 0.16)
"""Seconds between two looks at the database's version: within the quarter of a second that is promised."""
PROGRESS = 5.0
"""Seconds between two progress notices."""
FRUITLESS = 0.25
"""Seconds before time alone leads to the next attempt: an end of a lease that nobody reaps yet is no end."""

Attempt = Callable[[float], Awaitable[Claimed | Idle]]
"""One try of the claim, with the patience in seconds that it may have."""


@dataclass(slots=True)
class Waiting:
    """A claim that waits: for `wait` seconds, and with the database's patience for no more than `longest`.

    It ends early when `closing` is set, or who asks `is_gone`. `tell` hears from time to time for how many seconds
    it has waited.
    """

    database: Database
    category: str | None
    wait: float
    patience: float
    longest: float = math.inf
    closing: anyio.Event = field(default_factory=anyio.Event)
    tell: Callable[[float], Awaitable[object]] | None = None
    is_gone: Callable[[], Awaitable[bool]] | None = None
    _began: float = field(default_factory=time.monotonic)

    async def claim(self, attempt: Attempt) -> Claimed | Idle:
        """Attempt a claim until one succeeds, the time is over, or `closing` is set.

        Between attempts it only looks, without the write lock. What leads to the next attempt is a feature
        that became ready by another's commit, the end of a lease or back-off, and the end of all work.
        Returns the last answer, with why the wait ended. Raises Busy where the first attempt does, or the
        database cannot be reached when the wait is over.
        """
        answer = await attempt(self.patience)
        while isinstance(answer, Idle) and answer.state != "complete" and self.wait > 0:
            worth_trying, latest = await self._until_worth_trying()
            if await self._is_over():
                return _closed(latest or answer, "The input ended while this call waited.")
            if not worth_trying:
                return _closed(latest or answer, f"Waited {self.wait:g} s.")
            try:
                answer = await attempt(self._left())
            except Busy:
                if time.monotonic() > self._began + self.wait:
                    raise
        return answer

    async def _until_worth_trying(self) -> tuple[bool, Idle | None]:
        """Whether an attempt makes sense before the wait is over, and how things stood at the last look.

        Looks again after each commit of anybody. Raises Busy where it could not look at the end.
        """
        seen: int | None = None
        idle: Idle | None = None
        started = wakes = told = time.monotonic()
        trouble: Busy | None = None
        end = self._began + self.wait
        while (now := time.monotonic()) < end and not await self._is_over():
            try:
                version = await self.database.work_version()
                if version != seen:
                    look, ends_in = await self.database.read(
                        lambda tx: look_ahead(tx, self.category), patience=self._left()
                    )
                    seen, idle, wakes = version, look, max(now + ends_in, started + FRUITLESS)
                    if look.counts.ready or look.state == "complete":
                        return True, look
                trouble = None
            except Busy as busy:  # the wait goes on, since the database may be back before its end
                seen, trouble, wakes = None, busy, math.inf
            if now >= wakes:
                return True, idle
            if self.tell is not None and now - told >= PROGRESS:
                told = now
                await self.tell(now - self._began)
            with anyio.move_on_after(min(random.uniform(*POLL), max(POLL[0], wakes - now), end - now)):
                await self.closing.wait()
        if trouble is not None and not await self._is_over():
            raise trouble
        return False, idle

    async def _is_over(self) -> bool:
        return self.closing.is_set() or (self.is_gone is not None and await self.is_gone())

    def _left(self) -> float:
        return min(self.patience, self.longest - (time.monotonic() - self._began))


def _closed(answer: Idle, why: str) -> Idle:
    return answer.model_copy(update={"message": f"{why} {answer.message}"})
