"""What there is to see: the agents at their servers, and how far the backlog is. Screens draw it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from dibs_proof.checks.observations import Holding

PERSON = "person"
"""The name under which the person acts, on a connection of her own."""


class Doing(StrEnum):
    """What an agent is at."""

    STARTING = "starting its server"
    READY = "ready"
    ASKING = "asks for work"
    WAITING = "waits for work"
    WORKING = "works on"
    REPORTING = "reports"
    DEAD = "killed"
    BACK = "back, held"
    DONE = "done"


class Tone(StrEnum):
    """How a line is meant."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"


@dataclass(slots=True)
class Seat:
    """One agent: its server's process id, what it is at, and what it has got done."""

    name: str
    doing: Doing = Doing.STARTING
    pid: int | None = None
    holding: Holding | None = None
    claims: int = 0
    passed: int = 0

    def is_at(self, doing: Doing, holding: Holding | None = None) -> None:
        """Note what the agent is at now."""
        self.doing, self.holding = doing, holding


@dataclass(slots=True)
class Scene:
    """Everything that a screen draws; `counts` are the features by status as a server told them last."""

    total: int
    seats: list[Seat]
    lease: float
    counts: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    retries: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self.began

    @property
    def started(self) -> int:
        """How many servers have come up."""
        return sum(seat.doing is not Doing.STARTING for seat in self.seats)

    @property
    def finished(self) -> int:
        """How many features need nothing more."""
        return self.counts.get("passing", 0) + self.counts.get("archived", 0)


class Screen(Protocol):
    """Where the demo is shown."""

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line that stays."""

    def draw(self, scene: Scene) -> None:
        """Show the scene as it is now; called about ten times a second."""
