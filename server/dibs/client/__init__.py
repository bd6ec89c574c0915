"""The backlog for harnesses: `Backlog` and `SyncBacklog`, with the connections that they stand on.

Nothing is loaded before it is asked for: neither the protocol's library nor the database's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dibs.client.backlog import Backlog
    from dibs.client.calls import ServerGone
    from dibs.client.claim import ClaimedFeature, NothingToClaim
    from dibs.client.process import Client, server_command
    from dibs.client.sync import SyncBacklog

__all__ = [
    "Backlog",
    "ClaimedFeature",
    "Client",
    "NothingToClaim",
    "ServerGone",
    "SyncBacklog",
    "server_command",
]

_PLACES = {
    "Backlog": "backlog",
    "ClaimedFeature": "claim",
    "Client": "process",
    "NothingToClaim": "claim",
    "ServerGone": "calls",
    "SyncBacklog": "sync",
    "server_command": "process",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
