"""Asks sockets whether they are ready, without waiting."""

from __future__ import annotations

import select
import sys


def is_readable(descriptor: int) -> bool:
    """Return whether a socket has something to read, or has been closed by its peer."""
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # select takes only small descriptors there
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
