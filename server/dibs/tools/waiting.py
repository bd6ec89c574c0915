"""A claim that waits for work."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from dibs.tools.connection import Connection
from dibs_schema.answers import Claimed, Idle

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

POLL = (0.08, 0.16)
"""Seconds between two looks at the database's version: within the quarter of a second that is promised."""
PROGRESS = 5.0
"""Seconds between two progress notices."""

LONGEST = 49.0
"""Seconds that waiting and the database's patience may take together: clients give up at 60."""

Attempt = Callable[[float], Awaitable[Claimed | Idle]]
"""One try of the claim, with the patience in seconds that it may have."""


async def claim_waiting(
    connection: Connection,
    attempt: Attempt,
    category: str | None,
    wait: float,
    ctx: Context[Connection, object],
) -> Claimed | Idle:
    """Attempt a claim until one succeeds, `wait` seconds have passed, or the input has ended.

    Between attempts it only looks, without the write lock: another process's commit, the end of a lease
    or of a back-off leads to the next attempt. Returns the last answer, with why the wait ended.
    """
    began = time.monotonic()
    patience = connection.settings.patience
    answer = await attempt(patience)
    while isinstance(answer, Idle) and answer.state != "complete" and wait > 0:
        left = began + wait - time.monotonic()
        if left <= 0:
            return _closed(answer, f"Waited {wait:g} s.")
        pause = min(left, answer.retry_after_seconds or left)
        await _until_something_is_ready(connection, category, pause, began, wait, ctx)
        if connection.closing.is_set():
            return _closed(answer, "The input ended while this call waited.")
        answer = await attempt(min(patience, LONGEST - (time.monotonic() - began)))
    return answer


async def _until_something_is_ready(
    connection: Connection,
    category: str | None,
    pause: float,
    began: float,
    wait: float,
    ctx: Context[Connection, object],
) -> None:
    from dibs.verbs.idle import anything_ready

    database = connection.database
    until = time.monotonic() + pause
    seen: int | None = None
    told = time.monotonic()
    while (now := time.monotonic()) < until and not connection.closing.is_set():
        version = await database.version()
        if version != seen and await database.read(lambda tx: anything_ready(tx, category)):
            return
        seen = version
        if now - told >= PROGRESS:
            told = now
            await ctx.report_progress(now - began, wait, "waiting for a feature to become ready")
        with anyio.move_on_after(min(random.uniform(*POLL), max(0.0, until - now))):
            await connection.closing.wait()


def _closed(answer: Idle, why: str) -> Idle:
    return answer.model_copy(update={"message": f"{why} {answer.message}"})
