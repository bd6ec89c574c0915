"""The Python client: `Backlog` and `SyncBacklog`, and the connections that they use.

Each name is imported at its first use, and with it the MCP SDK and SQLAlchemy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dibs.client.backlog import Backlog
    from dibs.client.calls import ServerGone
    from dibs.client.claim import Claim, ClaimedFeature, NothingToClaim
    from dibs.client.process import Client, server_command
    from dibs.client.sync import SyncBacklog

__all__ = [
    "Backlog",
    "Claim",
    "ClaimedFeature",
    "Client",
    "NothingToClaim",
    "ServerGone",
    "SyncBacklog",
    "server_command",
]

_MODULES = {
    "Backlog": "backlog",
    "Claim": "claim",
    "ClaimedFeature": "claim",
    "Client": "process",
    "NothingToClaim": "claim",
    "ServerGone": "calls",
    "SyncBacklog": "sync",
    "server_command": "process",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
