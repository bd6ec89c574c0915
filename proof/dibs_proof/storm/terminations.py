"""How a server's life ends, and what must be seen of it."""

from __future__ import annotations

import signal
import time
from enum import StrEnum
from random import Random

import anyio

from dibs_proof.history.recorder import Recorder

PROMPT = 10.0
"""Seconds within which a server that is told to end must have ended."""


class End(StrEnum):
    """The ways."""

    KILLED = "killed at rest"
    STRUCK = "killed in a call"
    TOLD = "told to end"
    STOPPED = "stopped for longer than its leases"
    CLOSED = "its input closed"
    DEAF = "nobody reads its answers"


DEAD = (End.KILLED, End.STRUCK, End.STOPPED)
"""Those of which SIGKILL is the end."""
WEIGHTS = {End.KILLED: 4, End.STRUCK: 8, End.TOLD: 2, End.STOPPED: 2, End.CLOSED: 2, End.DEAF: 2}


def choose(chance: Random) -> End:
    """One of them, for a server that is to be started."""
    return chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


async def end(recorder: Recorder, how: End) -> str | None:
    """Bring it about at a server at rest; what is wrong with how it ended, if anything is."""
    began = time.monotonic()
    if how in DEAD:
        recorder.kill()
    elif how is End.TOLD:
        recorder.terminate()
    else:
        recorder.hang_up()
    with anyio.move_on_after(PROMPT):
        status = await recorder.client.process.wait()
        if status != (-signal.SIGKILL if how in DEAD else 0):
            return f"a server that was {how} ended with status {status}"
        return None
    took = time.monotonic() - began
    return f"a server that was {how} had not ended after {took:.1f} s"
