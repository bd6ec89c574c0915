"""One write to the database: the verb that runs in its transaction, and what follows its outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:  # a worker thread loads SQLAlchemy after the answer to `initialize`
    from dibs.database.transaction import Transaction

T = TypeVar("T")


class SnapshotNeeded(Exception):  # noqa: N818 - it asks for something, and reports no error
    """A verb needs what `read` returns on a snapshot: it is too much to read under the write lock.

    The transaction is rolled back, and the verb runs again in a new one, with what was read in `tx.snapshot`.
    """

    def __init__(self, read: Callable[[Transaction], object]) -> None:
        super().__init__()
        self.read = read


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Maintenance before a write: if `is_due` on a snapshot, `run` in a separate write transaction."""

    is_due: Callable[[Transaction], bool]
    run: Callable[[Transaction], object]


class WriteJob(ABC, Generic[T]):
    """A write that `Database.write` runs and whose result it returns.

    A job may keep state, and is submitted once. `run` is called again if its transaction was not applied.
    The writer thread calls `autocommit`, `run` and `committed`.
    """

    exclusive: bool = True
    """True if no other exclusive write to the project may run at the same time."""
    upkeep: Upkeep | None = None
    """What runs first, unless this process is late itself and so must not end the claims of others."""

    @abstractmethod
    def run(self, tx: Transaction) -> T:
        """Change the project in a write transaction, and return the result."""

    def autocommit(self) -> Callable[[Transaction], T | None] | None:
        """Return a verb of one statement that commits by itself, or None.

        It runs first on engines with concurrent writers. If it returns None, `run` follows.
        """
        return None

    def committed(self, result: T) -> None:
        """Receive the result after its commit, before the next job begins."""

    def undo(self, result: T) -> Callable[[Transaction], object] | None:  # noqa: ARG002 - most writes stay
        """Return the verb that undoes a write whose caller was cancelled during the commit, or None."""
        return None

    def settle(self) -> Callable[[Transaction], object] | None:
        """Return the verb that undoes a write of unknown outcome, or None. It is tried for as long as a lease."""
        return None


@dataclass(frozen=True, slots=True)
class VerbJob(WriteJob[T]):
    """A job that runs a verb; nothing follows its outcome."""

    verb: Callable[[Transaction], T]
    exclusive: bool = field(default=True, kw_only=True)
    upkeep: Upkeep | None = field(default=None, kw_only=True)

    def run(self, tx: Transaction) -> T:
        """Run the verb."""
        return self.verb(tx)
