"""Asks sockets whether they are ready, without waiting, and lets one take a port that was used a moment ago."""

from __future__ import annotations

import select
import socket
import sys


def is_readable(descriptor: int) -> bool:
    """Return whether a socket has something to read, or has been closed by its peer."""
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # select takes only small descriptors there
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def keep_port(listening: socket.socket) -> None:
    """Let a socket take a port of which old connections are still ending, and nobody take it from the socket."""
    if sys.platform == "win32":  # SO_REUSEADDR would let another user's program take a port that is in use
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
