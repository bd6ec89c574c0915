"""A claim, as its holder recorded it."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 40
"""The number of characters of a feature's name that a line shows."""


@dataclass(slots=True)
class Holding:
    """One claim, as its holder recorded it; times in seconds of the monotonic clock.

    The claim was certainly valid from `given_at`, when the token arrived, to `until`: when the call that ended it was
    sent or, if the claim was lost, when its lease could first expire. `until` is None while the claim is held.
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
