"""The opening: every agent asks for the same feature in the same moment."""

from __future__ import annotations

from collections import Counter

import anyio


class Race:
    """Who got `feature`, and how the others were refused; over when all `contestants` have their answer."""

    def __init__(self, feature: int, contestants: int) -> None:
        self.feature = feature
        self.over = anyio.Event()
        self.winners: list[str] = []
        self.refusals: Counter[str] = Counter()
        self._missing = contestants

    def won(self, agent: str) -> None:
        """Note that an agent got the feature."""
        self.winners.append(agent)
        self._answered()

    def lost(self, code: str) -> None:
        """Note the code with which an agent was refused."""
        self.refusals[code] += 1
        self._answered()

    def _answered(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.over.set()

    def __str__(self) -> str:
        told = ", ".join(
            f"{count} {'was' if count == 1 else 'were'} told {code}" for code, count in self.refusals.items()
        )
        return f"{' and '.join(self.winners) or 'nobody'} got it, {told}"
