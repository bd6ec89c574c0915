"""Forks the servers of storms that run in the tests' own process."""

from __future__ import annotations

from forked import forked

__all__ = ["forked"]
