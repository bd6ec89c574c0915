"""Starts the servers of these tests as the races do."""

from __future__ import annotations

from races.conftest import forked, start

__all__ = ["forked", "start"]
