"""What every database engine does. Each contract is one sentence; the quirks are the engine's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dibs_schema.refusals import Busy

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import HealthCheck
    from dibs.database.project import Project
    from dibs.database.transaction import TransactionStart


class NotApplied(Busy):
    """The transaction left no trace, through no fault of its own, and may be tried again.

    A connection lost before COMMIT was sent, a server that is down, a deadlock.
    """


class Unreachable(NotApplied):
    """The database was not reached, or what was reached takes no writes: others may not have reached it either."""


class Engine(ABC):
    """One database: connections to it, transactions on it, and what its errors mean."""

    library: str
    """Name and version of the library or server that does the work."""
    clock: str
    """The domain of the lease clock: readings of one domain compare, those of two do not."""

    # -- connections ------------------------------------------------------------------------------

    @abstractmethod
    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """Make the database ready to serve the project of that name; a warm start writes nothing."""

    @abstractmethod
    def connect(self, *, reading: bool = False) -> Connection:
        """Open a connection for one thread; one for reading can never write."""

    @abstractmethod
    def is_usable(self, connection: Connection) -> bool:
        """Check that the connection can be used again, without asking the other end."""

    @abstractmethod
    def closing(self) -> AbstractContextManager[None]:
        """Hold what must be held while connections are closed; nothing is opened afterwards."""

    def interrupt(self, connection: Connection) -> None:  # noqa: B027 - nothing to do where the work is done here
        """End, from another thread, what a connection runs or waits for at the other end."""

    # -- transactions -----------------------------------------------------------------------------

    @abstractmethod
    def write_transaction(
        self, connection: Connection, name: str, *, exclusive: bool, abandoned: Callable[[], bool]
    ) -> AbstractContextManager[TransactionStart | None]:
        """Hold a write transaction, rolled back at the end unless it was committed; None if `abandoned` first.

        No two `exclusive` ones run in a project at the same time.
        """

    @abstractmethod
    def read_transaction(
        self, connection: Connection, name: str, known: Project | None = None
    ) -> AbstractContextManager[TransactionStart]:
        """Hold a snapshot, which never waits for a writer; a `known` project's row is not read again."""

    def autocommit(
        self,
        connection: Connection,  # noqa: ARG002 - not every engine has it
        project: Project,  # noqa: ARG002 - likewise
    ) -> AbstractContextManager[TransactionStart] | None:
        """Let single statements commit by themselves where several writers work at the same time; else None.

        The project is as it was last seen, and each statement must guard against change.
        """
        return None

    @abstractmethod
    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit, and `wake` those who wait for work; when this returns, the transaction is on disk."""

    # -- copies of whole projects -----------------------------------------------------------------

    def lift_timeouts(  # noqa: B027 - most have none
        self, connection: Connection, *, exclusive: bool = False, reading: bool = False
    ) -> None:
        """Let the transaction take its time; `exclusive` also keeps out claims of one statement.

        With `reading` it is a snapshot, which is in nobody's way.
        """

    def analyze(self, connection: Connection) -> None:  # noqa: B027 - most need nothing
        """Update the planner's statistics, before a transaction that has inserted many rows commits."""

    def continue_after(self, connection: Connection, last_event: int) -> None:  # noqa: B027 - most need nothing
        """Number new events from `last_event` on, after rows were inserted with their ids."""

    # -- changes, health, errors ------------------------------------------------------------------

    @abstractmethod
    def work_version(self, connection: Connection) -> int:
        """Return a number that changes when anybody's commit may have made work ready; takes no lock."""

    def event_version(self, connection: Connection) -> int:
        """Return a number that changes when followers may find new events; reads no table and takes no lock."""
        return self.work_version(connection)

    @abstractmethod
    def check_health(self, connection: Connection) -> list[HealthCheck]:
        """Check how healthy the database is; raises Unavailable where it cannot be read at all."""

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into refusals; none of their words reach a client."""


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Where a database is: its label for users, its file if it is one, and how it is opened.

    It is light to make, since `initialize` is answered before any database library is loaded.
    """

    label: str
    file: Path | None
    readers: int
    make_engine: Callable[[], Engine]
    exists: Callable[[], bool]
