"""What a proof does to a server process, or to its connection, that no honest client does."""

from __future__ import annotations

import os
from contextlib import suppress

from dibs.client import Client


def send_signal(client: Client, number: int) -> None:
    """Send a signal to the server, past asyncio, whose own way may reap the process and lose its exit status."""
    if client.process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(client.process.pid, number)


def stop_reading(client: Client) -> None:
    """Read no more answers, as a client that has crashed: the server's next write fails."""
    transport = client.process._transport  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio offers no other way
    transport.get_pipe_transport(1).close()
