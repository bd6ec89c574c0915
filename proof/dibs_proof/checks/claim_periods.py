"""Claims as the journal tells them: each from the event that began it to the one that ended it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dibs_proof.checks.invariants import ENDS
from dibs_proof.checks.journal import Event
from dibs_schema.status import Kind, Status


@dataclass(frozen=True, slots=True)
class Tenure:
    """One claim of a feature under one token; `ended` is None while it is held."""

    begun: Event
    ended: Event | None = None

    def __str__(self) -> str:
        return f"{self.begun.agent}'s claim of feature {self.begun.feature} (event {self.begun.id})"


def tenures(journal: Iterable[Event]) -> Iterator[Tenure]:
    """Every claim, in the order of their ends; those that are held at the end come last."""
    live: dict[int, Tenure] = {}
    for event in journal:
        before = live.get(event.feature)
        ends = event.kind == Kind.RESUME or (event.kind in ENDS and event.source == Status.IN_PROGRESS)
        if ends and before is not None:
            yield replace(before, ended=event)
            del live[event.feature]
        if event.kind in (Kind.CLAIM, Kind.RESUME):
            live[event.feature] = Tenure(event)
    yield from live.values()
