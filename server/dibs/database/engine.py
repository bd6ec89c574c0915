"""The interface of a database engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dibs_schema.refusals import Busy, DatabaseReplaced, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import HealthCheck
    from dibs.database.project_row import Project
    from dibs.database.transaction import TransactionStart


class NotApplied(Busy):
    """The transaction was not applied and may be repeated: a deadlock, or a connection lost before COMMIT."""


class Unreachable(NotApplied):
    """The database could not be reached or takes no writes, possibly for other processes as well."""


class Meaning(NamedTuple):
    """The refusal that a kind of error means; `{}` in `fact` is replaced by the label of the database."""

    refusal: type[Refusal]
    fact: str
    field: str | None = None

    def of(self, label: object) -> Refusal:
        """Return the refusal for the database with this label."""
        return self.refusal(self.fact.format(label), field=self.field)


EMPTIED = Meaning(
    DatabaseReplaced,
    "{} no longer holds the backlog's tables: it was emptied or replaced. Nothing was written. "
    "Restart the server to serve what is there now.",
)


class Engine(ABC):
    """One database: connections to it, transactions on it, and what its errors mean."""

    library: str
    """Name and version of the library or server."""
    clock: str
    """The domain of the lease clock: readings can be compared only within one domain."""

    # -- connections ------------------------------------------------------------------------------

    @abstractmethod
    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """Prepare the database to serve the project of that name; a warm start writes nothing."""

    @abstractmethod
    def connect(self, *, reading: bool = False) -> Connection:
        """Open a connection for one thread; with `reading` it can never write."""

    @abstractmethod
    def is_usable(self, connection: Connection) -> bool:
        """Return whether the connection can be used again, without asking the server."""

    @abstractmethod
    def closing(self) -> AbstractContextManager[None]:
        """Hold the locks that closing connections needs; no connection is opened afterwards."""

    def interrupt(self, connection: Connection) -> None:  # noqa: B027 - an embedded engine needs nothing
        """Cancel, from another thread, what a connection is running or waiting for at the server."""

    # -- transactions -----------------------------------------------------------------------------

    def turn(self) -> AbstractContextManager[None]:
        """Hold this process's turn to write, where writers queue, for several transactions one after another."""
        return nullcontext()

    @abstractmethod
    def write_transaction(
        self, connection: Connection, name: str, *, exclusive: bool, abandoned: Callable[[], bool]
    ) -> AbstractContextManager[TransactionStart | None]:
        """Hold a write transaction, rolled back at the end unless it was committed; yield None once `abandoned`.

        Two `exclusive` transactions of a project never run at the same time.
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
        """Let each statement commit by itself; None on engines without concurrent writers.

        `project` is as last read, and each statement must guard against a change of it.
        """
        return None

    @abstractmethod
    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit, and `wake` waiting claims; others see it at once, and it is on disk after the next `sync`."""

    def sync(self) -> None:  # noqa: B027 - a server syncs within the commit
        """Put everything that is committed on disk, before it is acknowledged. Needs no turn.

        Raises OutcomeUnknown if the disk fails.
        """

    @abstractmethod
    def lock_holder(self, connection: Connection, waiting: Sequence[Connection]) -> str | None:
        """Return the other process that keeps the `waiting` connections from their locks, or None if none is known.

        `connection` is free to ask; it waits for no lock.
        """

    # -- copies of whole projects -----------------------------------------------------------------

    def lift_timeouts(  # noqa: B027 - not every engine has timeouts
        self, connection: Connection, *, exclusive: bool = False, reading: bool = False
    ) -> None:
        """Lift the transaction's timeouts; `exclusive` also excludes claims in one statement.

        With `reading` the transaction is a snapshot, which blocks nobody.
        """

    def analyze(self, connection: Connection) -> None:  # noqa: B027 - not every engine needs it
        """Update the planner's statistics, before a transaction that has inserted many rows commits."""

    def continue_after(self, connection: Connection, last_event: int) -> None:  # noqa: B027 - not every engine needs it
        """Number new events after `last_event`, once events have been inserted with explicit ids."""

    # -- changes, health, errors ------------------------------------------------------------------

    @abstractmethod
    def work_version(self, connection: Connection) -> int:
        """Return a number that changes when a commit may have made work ready; takes no lock."""

    def event_version(self, connection: Connection) -> int:
        """Return a number that changes when a commit may have added events; reads no table and takes no lock."""
        return self.work_version(connection)

    @abstractmethod
    def check_health(self, connection: Connection) -> list[HealthCheck]:
        """Check the health of the database; raises Unavailable if it cannot be read at all."""

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into refusals, so that their text reaches no client."""


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """The location of a database: its label for users, its file if it has one, and how to open it.

    Creating a location loads no database library, so the answer to `initialize` does not wait for that.
    """

    label: str
    file: Path | None
    readers: int
    make_engine: Callable[[], Engine]
    exists: Callable[[], bool]
