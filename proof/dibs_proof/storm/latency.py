"""How long calls took, and whether one of them froze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dibs_proof.checks.invariants import Finding
from dibs_proof.history.history import Call
from dibs_proof.storm.excused_delays import Delays

FREEZE = 8.0
"""Seconds, beside those in which others had the locks or the machine had no time for the storm's own clock."""
PATIENCE = 20.0
"""Seconds for which a server waits for what others have."""


class Pace:
    """Every answered call: how long its client waited, but for what it asked to wait for work."""

    def __init__(self, calls: Sequence[Call], delays: Delays) -> None:
        self._waits = [(call, _wait(call), _own(call, delays)) for call in calls if call.ended is not None]

    def no_freeze(self) -> Finding:
        """No call took long by itself, and none much longer than patience for whatever reason."""
        found = Finding(
            "no_freeze", f"No call took {FREEZE:g} s but for the locks of others", len(self._waits), "calls"
        )
        found.broken += [
            f"{call.tool} of {call.client} took {wait:.1f} s, {own:.1f} s of them for no reason"
            for call, wait, own in self._waits
            if own > FREEZE or wait > own + PATIENCE + FREEZE
        ]
        return found

    def figures(self) -> dict[str, Any]:
        """How long calls took."""
        waits = sorted(wait for _, wait, _ in self._waits)
        own = max((own for _, _, own in self._waits), default=0.0)
        return {
            "call_p50_ms": _at(waits, 0.5),
            "call_p99_ms": _at(waits, 0.99),
            "call_longest_ms": _at(waits, 1),
            "call_longest_own_ms": round(own * 1000, 1),
        }


def _wait(call: Call) -> float:
    assert call.ended is not None, "it was answered"
    return call.ended - call.begun - float(call.arguments.get("wait_seconds", 0))


def _own(call: Call, delays: Delays) -> float:
    """What is left of it, where nobody else was in the way."""
    return max(0.0, _wait(call) - delays.excused(call.begun, call.ended or call.begun))


def _at(times: list[float], share: float) -> float | None:
    """The time in milliseconds that so great a share of the calls did not exceed."""
    return round(times[min(len(times) - 1, int(share * len(times)))] * 1000, 1) if times else None
