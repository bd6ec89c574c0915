"""What the rest asks of a database engine. Each method's contract is one sentence; the quirks are the engine's own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dibs_schema.refusals import Busy

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import Finding
    from dibs.database.project import Project


EVERYTHING = 1 << 62
"""A horizon where transactions are numbered in the order of their commits."""


class Start(NamedTuple):
    """What a transaction begins with: the project as it is inside it, the schema's version, and the time.

    `now` is the wall clock in seconds, `reading` the lease clock's, both read once the lock was had (by
    `alone`, reckoned on from the last transaction).
    Events of transactions below `horizon` are complete: none of them can still be committed.
    For `up` seconds the database could be reached without a break, as far as it knows itself, and for `even`
    seconds the wall clock did not jump.
    """

    project: Project | None
    schema: str | None
    now: float
    reading: float
    horizon: int = EVERYTHING
    up: float = math.inf
    even: float = math.inf


class NotApplied(Busy):
    """The transaction left no trace, through no fault of its own, and may be tried again.

    A lost connection before COMMIT was sent, a server that is not there, a deadlock.
    """


class Unreachable(NotApplied):
    """The database was not reached, or what was reached takes no writes: others may not have reached it either."""


class Engine(ABC):
    """One database: connections to it, transactions on it, and what its errors mean."""

    library: str
    """Name and version of the library or server that does the work."""
    clock: str
    """The domain of the lease clock: readings of one domain compare, those of two do not."""

    @abstractmethod
    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """Make the database ready to serve the project of that name; a warm start writes nothing."""

    @abstractmethod
    def connect(self, *, reading: bool = False) -> Connection:
        """A connection for one thread; one for reading can never write."""

    @abstractmethod
    def is_sound(self, connection: Connection) -> bool:
        """Whether the connection can be used again, as far as can be told without asking the other end."""

    @abstractmethod
    def writing(
        self, connection: Connection, name: str, *, door: bool, abandoned: Callable[[], bool]
    ) -> AbstractContextManager[Start | None]:
        """Hold a write transaction, rolled back at the end where it was not committed; None if abandoned first.

        With `door` no other that has it is under way in the project, as a move that touches several rows needs.
        """

    def alone(self, connection: Connection, project: Project) -> AbstractContextManager[Start] | None:  # noqa: ARG002
        """Where several write beside each other: let single statements commit by themselves; else None.

        The project is as it was last seen, and each statement must guard against change.
        """
        return None

    @abstractmethod
    def reading(self, connection: Connection, name: str) -> AbstractContextManager[Start]:
        """Hold a snapshot, which never waits for a writer."""

    @abstractmethod
    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit, and `wake` who waits for work; when this returns, the transaction is on disk."""

    def interrupt(self, connection: Connection) -> None:  # noqa: B027 - nothing to do where the work is done here
        """From another thread, end what a connection does or waits for at the other end."""

    def unhurried(self, connection: Connection, *, exclusive: bool = False, reading: bool = False) -> None:  # noqa: B027 - most need nothing
        """Let the transaction take its time; `exclusive` keeps out those writers too that take no door.

        With `reading` it is a snapshot, which is in nobody's way.
        """

    def survey(self, connection: Connection) -> None:  # noqa: B027 - most need nothing
        """Learn how large the tables are now, before a transaction commits that has brought in many rows."""

    def settle(self, connection: Connection, last_event: int) -> None:  # noqa: B027 - most need nothing
        """Go on after many rows were brought in with their ids: number events from `last_event` on."""

    @abstractmethod
    def version(self, connection: Connection) -> int:
        """A number that changes when anybody's commit may have made work ready; takes no lock."""

    def news(self, connection: Connection) -> int:
        """A number that changes where followers may find new events; reads no table and takes no lock."""
        return self.version(connection)

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into refusals; none of their words reach a client."""

    @abstractmethod
    def leaving(self) -> AbstractContextManager[None]:
        """Hold what must be held while connections are closed; nothing is opened afterwards."""

    @abstractmethod
    def examine(self, connection: Connection) -> list[Finding]:
        """Say how healthy the database is, in words; raises Unavailable where it cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is: what users read of it, its file if it is one, and how it is opened.

    It is light to make, since `initialize` is answered before any database library is loaded.
    """

    label: str
    file: Path | None
    readers: int
    make_engine: Callable[[], Engine]
    exists: Callable[[], bool]
