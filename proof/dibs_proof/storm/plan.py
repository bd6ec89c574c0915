"""The plan of a storm."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from dibs.client import server_command

FEATURES = 160
"""The number of features at the start, of which about a third depend on others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`agents` clients for `seconds`, on the project `project` of the database `db`, with leases of `lease` seconds.

    `serve` is the command of a server, without its options. The seed fixes the random choices, but not the order in
    which processes run.
    """

    db: str
    project: str
    seconds: float
    agents: int
    lease: float
    seed: int
    serve: tuple[str, ...] = field(default_factory=lambda: tuple(server_command()))

    def chance(self, who: str) -> Random:
        """Return the random generator of one participant."""
        return Random(f"{self.seed}:{who}")

    @property
    def has_own_clock(self) -> bool:
        """Return whether the database server's clock measures leases, so that the clocks of processes do not matter."""
        return "://" in self.db

    @property
    def longest_stop(self) -> float:
        """Return the longest time in seconds for which a server is stopped: two leases."""
        return 2 * self.lease

    def command(self, *flags: str, lease: float | None = None) -> list[str]:
        """Return the command that starts a server, with the storm's lease or another one."""
        lease = self.lease if lease is None else lease
        return [*self.serve, "--db", self.db, "--project", self.project, "--lease", f"{lease:g}", *flags]
