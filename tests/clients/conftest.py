"""The tests of other clients start their servers from the nursery."""

from __future__ import annotations

from forked import forked

__all__ = ["forked"]
