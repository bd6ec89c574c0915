"""One write to the database: the verb that runs in its transaction, and what belongs to the outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from dibs.database.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Work for others that a write does first, where there is any.

    `is_due` runs on a snapshot and waits for no writer. `run` has a write transaction of its own.
    """

    is_due: Callable[[Transaction], bool]
    run: Callable[[Transaction], object]


class WriteJob(ABC, Generic[T]):
    """A write that `Database.write` runs and whose result it returns.

    A job may keep state, and is submitted once. `run` is called again where its transaction was not applied.
    `autocommit`, `run` and `committed` are called in the writer's thread.
    """

    exclusive: bool = True
    """Whether no other exclusive write to the project runs meanwhile, as one that touches several rows needs."""
    upkeep: Upkeep | None = None
    """What is done before `run`, unless this process has itself been late and so may not judge others."""

    @abstractmethod
    def run(self, tx: Transaction) -> T:
        """Act in a write transaction, and return the result."""

    def autocommit(self) -> Callable[[Transaction], T | None] | None:
        """Return a verb of one statement that commits by itself, or None.

        It is tried before `run` where the engine lets writers work at the same time. If it returns None, `run`
        follows.
        """
        return None

    def committed(self, result: T) -> None:
        """Note the result once it is committed, before the next job begins."""

    def undo(self, result: T) -> Callable[[Transaction], object] | None:  # noqa: ARG002 - most take nothing back
        """Return the verb that takes back a result whose caller was cancelled during the commit, or None."""
        return None

    def settle(self) -> Callable[[Transaction], object] | None:
        """Return the verb that takes back the write where its outcome stayed unknown, or None.

        It is tried for as long as a lease.
        """
        return None


class VerbJob(WriteJob[T]):
    """A verb, with nothing to do about its outcome."""

    def __init__(
        self, verb: Callable[[Transaction], T], *, exclusive: bool = True, upkeep: Upkeep | None = None
    ) -> None:
        self._verb = verb
        self.exclusive = exclusive
        self.upkeep = upkeep

    def run(self, tx: Transaction) -> T:
        """Run the verb."""
        return self._verb(tx)
