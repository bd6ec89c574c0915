"""A claim that waits for work."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context

from dibs.tools.connection import Connection
from dibs.verbs.idle import glance
from dibs_schema.answers import Claimed, Idle
from dibs_schema.refusals import Busy

POLL = (0.08, 0.16)
"""Seconds between two looks at the database's version: within the quarter of a second that is promised."""
PROGRESS = 5.0
"""Seconds between two progress notices."""
FRUITLESS = 0.25
"""Seconds before time alone leads to the next attempt: an end of a lease that nobody reaps yet is no end."""
LONGEST = 49.0
"""Seconds that waiting and the database's patience may take together: clients give up at 60."""

Attempt = Callable[[float], Awaitable[Claimed | Idle]]
"""One try of the claim, with the patience in seconds that it may have."""


async def claim_waiting(
    connection: Connection, attempt: Attempt, category: str | None, wait: float, ctx: Context[Any, Any]
) -> Claimed | Idle:
    """Attempt a claim until one succeeds, `wait` seconds have passed, or the input has ended.

    Between attempts it only looks, without the write lock. What leads to the next attempt is a feature
    that became ready by another's commit, the end of a lease or back-off, and the end of all work.
    Returns the last answer, with why the wait ended. Raises Busy where the first attempt does, or the
    database cannot be reached when the wait is over.
    """
    began = time.monotonic()
    answer = await attempt(connection.settings.patience)
    while isinstance(answer, Idle) and answer.state != "complete" and wait > 0:
        worth_trying, latest = await _until_worth_trying(connection, category, began, wait, ctx)
        if await _is_over(connection):
            return _closed(latest or answer, "The input ended while this call waited.")
        if not worth_trying:
            return _closed(latest or answer, f"Waited {wait:g} s.")
        try:
            answer = await attempt(_left(connection, began))
        except Busy:
            if time.monotonic() > began + wait:
                raise
    return answer


async def _until_worth_trying(
    connection: Connection, category: str | None, began: float, wait: float, ctx: Context[Any, Any]
) -> tuple[bool, Idle | None]:
    """Whether an attempt makes sense before the wait is over, and how things stood at the last look.

    Looks again after each commit of anybody. Raises Busy where it could not look at the end.
    """
    database = connection.database
    seen: int | None = None
    idle: Idle | None = None
    started = wakes = told = time.monotonic()
    trouble: Busy | None = None
    while (now := time.monotonic()) < began + wait and not await _is_over(connection):
        try:
            version = await database.version()
            if version != seen:
                look, ends_in = await database.read(
                    lambda tx: glance(tx, category), patience=_left(connection, began)
                )
                seen, idle, wakes = version, look, max(now + ends_in, started + FRUITLESS)
                if look.counts.ready or look.state == "complete":
                    return True, look
            trouble = None
        except Busy as busy:  # the wait goes on, since the database may be back before its end
            seen, trouble, wakes = None, busy, math.inf
        if now >= wakes:
            return True, idle
        if now - told >= PROGRESS:
            told = now
            await ctx.report_progress(now - began, wait, "waiting for a feature to become ready")
        with anyio.move_on_after(min(random.uniform(*POLL), max(POLL[0], wakes - now), began + wait - now)):
            await connection.closing.wait()
    if trouble is not None and not await _is_over(connection):
        raise trouble
    return False, idle


async def _is_over(connection: Connection) -> bool:
    return connection.closing.is_set() or await connection.is_gone()


def _left(connection: Connection, began: float) -> float:
    return min(connection.settings.patience, LONGEST - (time.monotonic() - began))


def _closed(answer: Idle, why: str) -> Idle:
    return answer.model_copy(update={"message": f"{why} {answer.message}"})
