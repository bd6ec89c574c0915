"""What a storm is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from dibs.client import server_command

FEATURES = 160
"""Features at the start, about a third of them behind others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`agents` clients for `seconds`, on the project `project` of the database `db`, with leases of `lease` seconds.

    `serve` is the command that a server's flags are added to. The seed fixes what is drawn, not how
    the processes' steps fall between each other.
    """

    db: str
    project: str
    seconds: float
    agents: int
    lease: float
    seed: int
    serve: tuple[str, ...] = field(default_factory=lambda: tuple(server_command()))

    def chance(self, who: str) -> Random:
        """The chance of one of those who take part."""
        return Random(f"{self.seed}:{who}")

    @property
    def has_own_clock(self) -> bool:
        """Whether leases go by the database server's clock, whatever a process takes the time to be."""
        return "://" in self.db

    @property
    def longest_stop(self) -> float:
        """Seconds for which a server may be stopped: twice a lease."""
        return 2 * self.lease

    def command(self, *flags: str, lease: float | None = None) -> list[str]:
        """What starts a server; `lease` is another one than the storm's."""
        lease = self.lease if lease is None else lease
        return [*self.serve, "--db", self.db, "--project", self.project, "--lease", f"{lease:g}", *flags]
