"""What everybody in the storm shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from dibs.storm.ends import End
from dibs.storm.plan import Plan
from dibs.storm.weather import Strangers, WallClock


@dataclass(slots=True)
class Sky:
    """The plan and what happens: how servers ended, answers, refusals, and what must not have been.

    What clients were told is in the folder `histories`.

    `begun` is set when as many calls have been answered as there are agents, `over` when no agent begins
    anything any more.
    """

    plan: Plan
    log: IO[bytes]
    clock: WallClock
    strangers: Strangers
    histories: Path
    ends: Counter[End] = field(default_factory=Counter)
    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    def answered(self) -> None:
        """One more call was answered."""
        self.answers += 1
        if self.answers == self.plan.agents:
            self.begun.set()
