"""What the clients saw, and what they were told was done: their word, to be held against the journal."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dibs_proof.checks.observations import Acknowledged, Holding
from dibs_schema.status import Kind


@dataclass(frozen=True, slots=True)
class LateCall:
    """A call with a dead holder's token: the refusal's code (None if it was accepted), the row around it."""

    tool: str
    code: str | None
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(slots=True)
class Records:
    """Everything that all the clients saw; times in seconds."""

    holdings: list[Holding] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    claim_times: list[float] = field(default_factory=list)
    passed_at: list[float] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    heard_at: float = field(default_factory=time.monotonic)

    def hold(self, holding: Holding) -> None:
        """Note a claim that was given out."""
        self.holdings.append(holding)
        self.attempts[holding.feature] += 1
        self.acknowledge(Kind.CLAIM, holding.feature, holding.agent, "in_progress")

    def acknowledge(self, kind: Kind, feature: int, agent: str, status: str) -> None:
        """Note a move that was said to be done."""
        self.heard_at = time.monotonic()
        self.acknowledged.append(Acknowledged(kind, feature, agent, status))
        if kind is Kind.PASS:
            self.passed_at.append(self.heard_at)

    def count(self, kind: Kind) -> int:
        """How many moves of that kind were said to be done."""
        return sum(one.kind is kind for one in self.acknowledged)

    def held_by_others(self, agent: str) -> list[int]:
        """The features that other agents hold, as far as they know."""
        recent = self.holdings[-200:]  # nobody holds more than one, and what is older has long ended
        return [one.feature for one in recent if one.until is None and one.agent != agent]
