"""What clients were told: the claims they were given, and the moves that servers said were done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from dibs_schema.status import Kind

SHOWN = 40
"""Characters of a feature's name in a line."""


@dataclass(slots=True)
class Holding:
    """One claim as its holder knew it; times in seconds of the monotonic clock.

    It certainly held from `given_at` (the token arrived) to `until`: the moment at which the call that
    ended it was sent, or, where the claim was lost, the earliest end of its lease. None while it is held.
    """

    feature: int
    name: str
    agent: str
    token: str
    asked_at: float
    given_at: float
    until: float | None = None

    def __str__(self) -> str:
        name = self.name if len(self.name) <= SHOWN else f"{self.name[: SHOWN - 1]}…"
        return f"feature {self.feature} “{name}”"


class Seen(NamedTuple):
    """An event was committed between the two, in seconds of the monotonic clock."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A move that a server said was done: of which feature, by whom, and to which status.

    It was done while the call was open, from `begun` to `ended`, and its event has one of the `words`, if any are
    given. An `agent` without letters is not known.
    """

    kind: Kind
    feature: int
    agent: str
    status: str
    words: frozenset[str] = frozenset()
    begun: float = -math.inf
    ended: float = math.inf
