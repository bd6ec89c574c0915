"""The accident: one server is killed while its agent holds a claim, and what becomes of that claim."""

from __future__ import annotations

import time

import anyio

from dibs_proof.checks.observations import Holding
from dibs_proof.demo.records import LateCall


class Accident:
    """Strikes once, when `after` claims have been made, at a feature that is claimed for the first time.

    `taken_over` is set when another agent has the feature, and `told` when the dead agent has come back
    and heard that its claim is lost; until then the new holder keeps the feature.
    """

    def __init__(self, after: int) -> None:
        self.victim: Holding | None = None
        self.taker: Holding | None = None
        self.killed_at = 0.0
        self.late: list[LateCall] = []
        self.taken_over = anyio.Event()
        self.told = anyio.Event()
        self._after = after

    def is_due(self, claims: int, attempt: int) -> bool:
        """Whether it strikes now, at an agent that has just claimed a feature for the `attempt`-th time."""
        return self.victim is None and claims > self._after and attempt == 1

    def strike(self, victim: Holding, lease: float) -> None:
        """Note whose server is killed; the claim is respected until its lease has run out."""
        self.victim = victim
        self.killed_at = time.monotonic()
        victim.until = victim.asked_at + lease

    def is_take_over(self, holding: Holding) -> bool:
        """Whether this claim takes over the dead agent's feature; the first that does is kept."""
        if self.victim is None or self.taker is not None or holding.feature != self.victim.feature:
            return False
        self.taker = holding
        return True
