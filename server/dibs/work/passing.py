"""The pass of what a command has built: first the project's verify command, then the command of --then."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from dibs_schema.refusals import Busy, InvalidInput, NotVerified, Refusal

if TYPE_CHECKING:
    from dibs.client import Backlog
    from dibs.work.commands import Commands
    from dibs.work.state import AgentState

CANNOT_RUN = "cannot_run"
"""The cause of a NotVerified of which no other work is the cure."""
RETRY_FOR = 600.0
"""Seconds for which a pass is repeated while the database is locked, or the feature changes."""
RETRY_PAUSE = 0.5


async def verify_and_pass(backlog: Backlog, commands: Commands, state: AgentState, token: str) -> str | None:
    """Run the verify command where the work is, then the command of --then, and pass the feature.

    Returns why the work does not pass. Raises the refusals that do not concern the work.
    """
    feature, evidence = state.attempt.feature, state.attempt.evidence
    deadline = time.monotonic() + RETRY_FOR
    while True:
        try:
            await backlog.verify(feature, token, commands.folder(), evidence)
            problem = await commands.then()
            if problem is None:
                await backlog.mark_passing(feature, token, evidence)
        except (NotVerified, InvalidInput) as refusal:
            cause = refusal.details.get("cause")
            if cause == CANNOT_RUN:
                raise
            if cause != "changed" or time.monotonic() > deadline:
                return f"the pass was refused: {_why(refusal)}"
        except Busy:
            if time.monotonic() > deadline:
                raise
        else:
            return problem
        await asyncio.sleep(RETRY_PAUSE)


def _why(refusal: Refusal) -> str:
    """Return why a pass was refused; of a verify command with the end of its output."""
    if not isinstance(refusal, NotVerified):
        return refusal.fact
    status, output = refusal.details.get("exit_code"), refusal.details.get("output")
    how = "took too long" if status is None else f"ended with status {status}"
    return f"verify_command {how}" + (f": {output}" if output else "")
