"""The plan of a demo: its backlog, the number of agents, and the outcome of each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from random import Random

from dibs.database import Database
from dibs.verbs.create import known_statuses
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import Status

PROJECT = "demo"
"""The project's name in the demo's database."""
SHORTEST_WORK, LONGEST_WORK = 0.005, 0.040
"""Seconds that an agent pretends to work on a feature."""
MAX_FAILURES = 3
"""Failures in a row that make a feature stuck; the project's default `max_failures`."""
BACK_OFF = 1
"""Seconds of back-off after a failure, doubling; the default of 30 would make the demo long."""
REPOSITORY = Path(__file__).parents[3]
DONE = (Status.PASSING, Status.ARCHIVED)


class Outcome(StrEnum):
    """How an attempt at a feature ends."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    SKIP = "skip"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a demo: `agents` servers on the database `db`, leases of `lease` seconds, and the seed.

    A demo in which nothing happens for `patience` seconds is stopped.
    """

    agents: int
    lease: float
    seed: int
    db: Path
    patience: float

    @classmethod
    def of(cls, agents: int, lease: float, seed: int, db: Path) -> Plan:
        """Return the plan, with a patience that suffices for slow machines and long leases."""
        return cls(agents, lease, seed, db, patience=max(60.0, 5 * lease, 3.0 * agents))


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog as it was imported: the format of its file, and each feature's status."""

    source: str
    statuses: dict[int, str]

    @property
    def open(self) -> list[int]:
        """Return the features that are not done."""
        return [one for one, status in self.statuses.items() if status not in DONE]


def example() -> Path:
    """Return the example backlog: in the installed package, or else in the repository. Raises NotFound."""
    shipped = resources.files("dibs_proof.demo") / "backlog.json"
    for path in (Path(str(shipped)), REPOSITORY / "examples" / "backlog.json"):
        if path.is_file():
            return path
    raise NotFound("This installation has no example backlog. Name a file with --features.")


def fill(database: Database, file: Path) -> Backlog:
    """Import `file` into a new database, and set a short back-off.

    Raises InvalidInput if the file holds no backlog, or the database is not new.
    """
    from dibs.database import file_driver
    from dibs.transfer.formats import read_backlog
    from dibs.transfer.importer import import_features
    from dibs.verbs.project_settings import change_setting

    if database.exists():
        raise InvalidInput(f"{database.label} exists already, and the demo begins with a fresh database.", field="db")
    found = read_backlog(file, file_driver())
    done = database.write_now(lambda tx: import_features(tx, found.features))
    if done.first_id is None or done.last_id is None:
        raise InvalidInput(f"{file} holds no features.", field="features")
    database.write_now(lambda tx: change_setting(tx, "dibs demo", "back_off", BACK_OFF))
    numbers = list(range(done.first_id, done.last_id + 1))
    return Backlog(found.format, database.read_now(lambda tx: known_statuses(tx, numbers)))


def planned_outcomes(features: Sequence[int], seed: int) -> dict[int, tuple[Outcome, ...]]:
    """Return the outcomes of the first attempts at some features. All other attempts pass, so the backlog always drains.

    The outcomes depend on the features and the seed alone. With eight or more features every outcome occurs: 1 in 32
    fails until it is stuck, 1 in 16 fails once, 1 in 16 is skipped, and 1 in 16 asks a person.
    """
    shuffled = Random(seed).sample(sorted(features), len(features))
    rare, seldom = (max(len(features) // share, len(features) // 8 > 0) for share in (32, 16))
    parts = (
        ((Outcome.FAIL,) * MAX_FAILURES, rare),
        ((Outcome.FAIL,), seldom),
        ((Outcome.SKIP,), seldom),
        ((Outcome.ASK,), seldom),
    )
    planned: dict[int, tuple[Outcome, ...]] = {}
    for outcomes, count in parts:
        planned |= dict.fromkeys(shuffled[:count], outcomes)
        shuffled = shuffled[count:]
    return planned


def work_time(seed: int, feature: int, attempt: int) -> float:
    """Return how long the attempt takes, in seconds."""
    return Random(f"{seed}:{feature}:{attempt}").uniform(SHORTEST_WORK, LONGEST_WORK)
