"""A claim that waits for work on a connection: in good time for clients, which are told of the progress."""

from __future__ import annotations

from functools import partial
from typing import Any

from mcp.server.mcpserver import Context

from dibs.session.session import Connection
from dibs.session.waiting import Attempt, Waiting
from dibs_schema.answers import Claimed, Idle

LONGEST = 49.0
"""Seconds that waiting and the database's patience may take together: clients give up at 60."""


async def claim_waiting(
    connection: Connection, attempt: Attempt, category: str | None, wait: float, ctx: Context[Any, Any]
) -> Claimed | Idle:
    """Attempt a claim until one succeeds, `wait` seconds have passed, or the input has ended.

    Raises Busy as `Waiting.claim` does.
    """
    tell = partial(ctx.report_progress, total=wait, message="waiting for a feature to become ready")
    waiting = Waiting(
        connection.database,
        category,
        wait,
        connection.settings.patience,
        LONGEST,
        connection.closing,
        tell,
        connection.is_gone,
    )
    return await waiting.claim(attempt)
