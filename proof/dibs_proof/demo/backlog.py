"""The backlog that is drained: where the example is, and how any file becomes a fresh database."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dibs.database import Database
from dibs.verbs.create import known_statuses
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import Status

BACK_OFF = 1
"""Seconds that a failed feature rests, doubling; the default of 30 would make the demo long."""

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Start:
    """The backlog as it was imported: its kind of file, and each feature's status."""

    source: str
    statuses: dict[int, str]

    @property
    def open(self) -> list[int]:
        """The features that something is to be done about."""
        return [one for one, status in self.statuses.items() if status not in DONE]


DONE = (Status.PASSING, Status.ARCHIVED)


def example() -> Path:
    """The example backlog: in the installed package, else in the repository. Raises NotFound."""
    shipped = resources.files("dibs_proof.demo") / "backlog.json"
    for path in (Path(str(shipped)), REPOSITORY / "examples" / "backlog.json"):
        if path.is_file():
            return path
    raise NotFound("This installation has no example backlog. Name a file with --features.")


def fill(database: Database, file: Path) -> Start:
    """Import `file` into a new database, and let failed features rest shortly.

    Raises InvalidInput where the file holds no backlog, or the database is not a new one.
    """
    from dibs.database import file_driver
    from dibs.transfer.formats import read_backlog
    from dibs.transfer.importer import import_features
    from dibs.verbs.project_settings import change_rule

    if database.exists():
        raise InvalidInput(
            f"{database.label} exists already, and the demo begins with a fresh database.", field="db"
        )
    found = read_backlog(file, file_driver())
    done = database.write_now(lambda tx: import_features(tx, found.features))
    if done.first_id is None or done.last_id is None:
        raise InvalidInput(f"{file} holds no features.", field="features")
    database.write_now(lambda tx: change_rule(tx, "dibs demo", "back_off", BACK_OFF))
    numbers = list(range(done.first_id, done.last_id + 1))
    return Start(found.source, database.read_now(lambda tx: known_statuses(tx, numbers)))
