"""The plan of a storm, and the removal of what the storm made in a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sqlalchemy import bindparam, delete

from dibs.client import server_command
from dibs.settings import Settings
from dibs.transfer.backup import own_files
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.project_rows import clear
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import projects

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


def refuse_missing_folder(plan: Plan) -> None:
    """Raise InvalidInput if the folder of the plan's file does not exist: its name may be mistyped."""
    file = _database(plan).file
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(
            f"There is no folder {file.parent}, and a storm does not create it. Nothing was created.", field="db"
        )


def remove(plan: Plan) -> None:
    """Remove the storm's database file, or the rows of its project."""
    database = _database(plan)
    if database.file is not None:
        for file in own_files(database.file):
            file.unlink(missing_ok=True)
        return
    with database.opened(), database.writing(exclusive=True) as tx:
        clear(tx)
        tx.run(delete(projects).where(projects.c.id == bindparam("project")))
        tx.commit(introduced=False)


def where(plan: Plan) -> str:
    """Return the place of the storm's project for a person, without the database's password."""
    return f"the project {plan.project!r} in {_database(plan).label}"


def _database(plan: Plan) -> BulkDatabase:
    return BulkDatabase(Settings(db=plan.db, project=plan.project))
