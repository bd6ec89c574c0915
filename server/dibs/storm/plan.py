"""What a storm is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

FEATURES = 160
"""Features at the start, about a third of them behind others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`agents` clients for `seconds`, on the project `project` of the database `db`, with leases of `lease` seconds.

    The seed fixes what is drawn, not how the processes' steps fall between each other.
    """

    db: str
    project: str
    seconds: float
    agents: int
    lease: float
    seed: int

    def chance(self, who: str) -> Random:
        """The chance of one of those who take part."""
        return Random(f"{self.seed}:{who}")

    @property
    def has_own_clock(self) -> bool:
        """Whether leases go by the database server's clock, whatever a process takes the time to be."""
        return "://" in self.db

    def flags(self) -> list[str]:
        """What every server is started with."""
        return ["--db", self.db, "--project", self.project, "--lease", f"{self.lease:g}"]
