"""The progress of the loop: its pauses after rate limits, and its summary."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LONGEST_BACK_OFF = 900.0
"""Seconds."""


class BackOff:
    """The pause of all agents after a rate limit, which they are likely to share: longer each time, with jitter."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times = 0
        self._until = 0.0

    def rate_limited(self) -> float:
        """Begin a pause, unless another agent has just begun one. Returns its seconds."""
        now = time.monotonic()
        if now >= self._until:
            pause = min(self._seconds * 2**self._times, LONGEST_BACK_OFF) * random.uniform(0.75, 1.25)
            self._times += 1
            self._until = now + pause
        return self._until - now

    def succeeded(self) -> None:
        """Return to short pauses after a success."""
        self._times = 0

    async def wait(self) -> None:
        """Wait for the end of the pause. The agents do not all start again at once."""
        while True:
            pause = self._until - time.monotonic()
            if pause <= 0:
                return
            await asyncio.sleep(pause + random.uniform(0, self._seconds / 4))


@dataclass(slots=True)
class Summary:
    """The summary of what the loop has done."""

    began: float = field(default_factory=time.monotonic)
    outcomes: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0

    def add(self, outcome: str, usage: dict[str, Any]) -> None:
        """Count an attempt."""
        self.outcomes[outcome] += 1
        self.cost += usage.get("cost_usd", 0.0)

    def text(self) -> str:
        """Return the summary as one line."""
        counts = ", ".join(f"{number} {outcome}" for outcome, number in self.outcomes.items()) or "no attempt"
        cost = f", {self.cost:.2f} USD" if self.cost else ""
        return f"{counts} in {(time.monotonic() - self.began) / 60:.1f} min{cost}"
