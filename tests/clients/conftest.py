"""The tests of other clients start their servers from the fork server."""

from __future__ import annotations

from forked import forked

__all__ = ["forked"]
