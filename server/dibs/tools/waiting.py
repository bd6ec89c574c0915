"""A claim that waits for work."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context

from dibs.tools.connection import Connection
from dibs.verbs.idle import glance
from dibs_schema.answers import Claimed, Idle

POLL = (0.08, 0.16)
"""Seconds between two looks at the database's version: within the quarter of a second that is promised."""
PROGRESS = 5.0
"""Seconds between two progress notices."""
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
    Returns the last answer, with why the wait ended.
    """
    began = time.monotonic()
    patience = connection.settings.patience
    answer = await attempt(patience)
    while isinstance(answer, Idle) and answer.state != "complete" and wait > 0:
        worth_trying, latest = await _until_worth_trying(connection, category, began, wait, ctx)
        if connection.closing.is_set():
            return _closed(latest or answer, "The input ended while this call waited.")
        if not worth_trying:
            return _closed(latest or answer, f"Waited {wait:g} s.")
        answer = await attempt(min(patience, LONGEST - (time.monotonic() - began)))
    return answer


async def _until_worth_trying(
    connection: Connection, category: str | None, began: float, wait: float, ctx: Context[Any, Any]
) -> tuple[bool, Idle | None]:
    """Whether an attempt makes sense before the wait is over, and how things stood at the last look.

    Looks again after each commit of anybody.
    """
    database = connection.database
    seen: int | None = None
    idle: Idle | None = None
    wakes = told = time.monotonic()
    while (now := time.monotonic()) < began + wait and not connection.closing.is_set():
        version = await database.version()
        if version != seen:
            seen, (look, ends_in) = version, await database.read(lambda tx: glance(tx, category))
            if look.counts.ready or look.state == "complete":
                return True, look
            idle, wakes = look, now + ends_in
        if now >= wakes:
            return True, idle
        if now - told >= PROGRESS:
            told = now
            await ctx.report_progress(now - began, wait, "waiting for a feature to become ready")
        with anyio.move_on_after(min(random.uniform(*POLL), max(POLL[0], wakes - now), began + wait - now)):
            await connection.closing.wait()
    return False, idle


def _closed(answer: Idle, why: str) -> Idle:
    return answer.model_copy(update={"message": f"{why} {answer.message}"})
