"""Repeats a claim until there is work or the wait is over."""

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
"""Seconds between two reads of the database's version; the contract promises a quarter of a second."""
PROGRESS = 5.0
"""Seconds between two progress reports."""
REAP_PAUSE = 0.25
"""Least number of seconds before an expired lease leads to the next attempt: no claim may reap it sooner."""

Attempt = Callable[[float], Awaitable[Claimed | Idle]]
"""One attempt to claim; its argument is its patience in seconds."""


@dataclass(slots=True)
class Waiting:
    """A claim that waits for work: for `wait` seconds, and for at most `longest` with the database's `patience`.

    The wait ends early when `closing` is set, or when `is_abandoned` returns true. `report` receives the number of
    seconds waited, every PROGRESS seconds.
    """

    database: Database
    category: str | None
    wait: float
    patience: float
    longest: float
    closing: anyio.Event
    report: Callable[[float], Awaitable[object]]
    is_abandoned: Callable[[], Awaitable[bool]]
    _began: float = field(default_factory=time.monotonic)

    async def claim(self, attempt: Attempt) -> Claimed | Idle:
        """Attempt a claim until one succeeds, the time is over, or `closing` is set.

        Between attempts it reads without the write lock. The next attempt follows when a commit makes a feature
        ready, when a lease or back-off ends, and when all work is done. Returns the last answer, with the reason why
        the wait ended. Raises Busy if the first attempt does, or if the database is busy when the wait is over.
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
        """Return whether to attempt again before the wait is over, and the state at the last read.

        Reads again after each commit by any process. Raises Busy if the last read failed.
        """
        seen: int | None = None
        idle: Idle | None = None
        started = wakes = reported = time.monotonic()
        failure: Busy | None = None
        end = self._began + self.wait
        while (now := time.monotonic()) < end and not await self._is_over():
            try:
                version = await self.database.work_version()
                if version != seen:
                    latest, ends_in = await self.database.read(
                        lambda tx: look_ahead(tx, self.category), patience=self._left()
                    )
                    seen, idle, wakes = version, latest, max(now + ends_in, started + REAP_PAUSE)
                    if latest.counts.ready or latest.state == "complete":
                        return True, latest
                failure = None
            except Busy as busy:  # the wait goes on, since the database may be back before its end
                seen, failure, wakes = None, busy, math.inf
            if now >= wakes:
                return True, idle
            if now - reported >= PROGRESS:
                reported = now
                await self.report(now - self._began)
            with anyio.move_on_after(min(random.uniform(*POLL), max(POLL[0], wakes - now), end - now)):
                await self.closing.wait()
        if failure is not None and not await self._is_over():
            raise failure
        return False, idle

    async def _is_over(self) -> bool:
        return self.closing.is_set() or await self.is_abandoned()

    def _left(self) -> float:
        return min(self.patience, self.longest - (time.monotonic() - self._began))


def _closed(answer: Idle, why: str) -> Idle:
    return answer.model_copy(update={"message": f"{why} {answer.message}"})
