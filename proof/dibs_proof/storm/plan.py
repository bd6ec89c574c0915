"""What a storm is asked to be, and what it leaves in a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy import bindparam, delete

from dibs.client import server_command
from dibs.settings import Settings
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.project_rows import clear
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import projects

FEATURES = 160
"""Features at the start; about a third of them depend on others."""
SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")
"""What the names of a database's files end in."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`agents` clients for `seconds`, on the project `project` of the database `db`, with leases of `lease` seconds.

    `serve` is the command that a server's flags are added to. The seed fixes what is drawn, not how the steps of
    the processes interleave.
    """

    db: str
    project: str
    seconds: float
    agents: int
    lease: float
    seed: int
    serve: tuple[str, ...] = field(default_factory=lambda: tuple(server_command()))

    def chance(self, who: str) -> Random:
        """Return the random generator of one of those that take part."""
        return Random(f"{self.seed}:{who}")

    @property
    def has_own_clock(self) -> bool:
        """Return whether leases go by the database server's clock, whatever a process takes the time to be."""
        return "://" in self.db

    @property
    def longest_stop(self) -> float:
        """Return the seconds for which a server may be stopped: twice a lease."""
        return 2 * self.lease

    def command(self, *flags: str, lease: float | None = None) -> list[str]:
        """Return the command that starts a server, with the storm's lease or another one."""
        lease = self.lease if lease is None else lease
        return [*self.serve, "--db", self.db, "--project", self.project, "--lease", f"{lease:g}", *flags]


def refuse_missing_folder(plan: Plan) -> None:
    """Raise InvalidInput where there is no folder for the plan's file: its name may be mistyped."""
    file = _database(plan).file
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(f"There is no folder {file.parent}, and a storm makes none. Nothing was made.", field="db")


def remove(plan: Plan) -> None:
    """Remove what the storm has made in the database: its file, or the rows of its project."""
    database = _database(plan)
    if database.file is not None:
        for suffix in SUFFIXES:
            Path(f"{database.file}{suffix}").unlink(missing_ok=True)
        return
    with database.opened(), database.writing(exclusive=True) as tx:
        clear(tx)
        tx.run(delete(projects).where(projects.c.id == bindparam("project")))
        tx.commit(introduced=False)


def where(plan: Plan) -> str:
    """Return where a person finds what the storm has made, without the database's password."""
    return f"the project {plan.project!r} in {_database(plan).label}"


def _database(plan: Plan) -> BulkDatabase:
    return BulkDatabase(Settings(db=plan.db, project=plan.project))
