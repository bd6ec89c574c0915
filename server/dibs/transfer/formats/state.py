"""A feature's status, from the word or the booleans that its file has for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.fields import Cell, Row, one_line, shown, truth
from dibs.transfer.formats.vocabulary import BLOCKED, FLAGS, STATUS_WORDS, STATUSES, snake
from dibs_schema.status import SATISFIED, Status

ASKS = ("needs_human_input", "needs_human")
WORKS = ("in_progress",)


@dataclass(frozen=True, slots=True)
class State:
    """Where a feature is, and where it was if it is archived; `blocked` is its word until that is settled."""

    status: Status
    archived_from: Status | None = None
    blocked: str | None = None


def state(row: Row, report: Report) -> State:
    """Return the row's state: its word if that is known, else its booleans, else pending.

    A feature is passing only if nothing in its row says otherwise: to do work again costs less than to
    lose it. One in progress becomes pending, since nobody holds a claim on it here.
    """
    flags = row.take_all("status", FLAGS, _flag)
    asks = row.take("status", ASKS, _flag)
    works = row.take("status", WORKS, _flag)
    passing = all(flag.value for flag in flags) if flags else None
    word = row.take("status", STATUSES, lambda cell: _known(cell, report))
    if word is not None:
        return _of_word(word, report, passing=passing)
    if passing:
        return _told(flags[0], Status.PASSING, report)
    if asks and asks.value:
        return _told(asks, Status.NEEDS_HUMAN, report)
    if works and works.value:
        return _told(works, Status.PENDING, report)
    return _told(next((flag for flag in flags if not flag.value), None), Status.PENDING, report)


@dataclass(frozen=True, slots=True)
class _Flag:
    """A boolean field, by its name in the file."""

    name: str
    value: bool


def _flag(cell: Cell) -> _Flag | None:
    value = truth(cell.value)
    return None if value is None else _Flag(cell.name, value)


def _told(flag: _Flag | None, status: Status, report: Report) -> State:
    report.mapped(f"{flag.name} {str(flag.value).lower()}" if flag else "no status", status)
    return State(status)


def _known(cell: Cell, report: Report) -> str | None:
    word = one_line(cell.value)
    if word is not None and snake(word) in STATUS_WORDS:
        return word
    report.ignored(
        f"status '{shown(word or cell.value)}', which is not known: other fields decide, or pending"
    )
    return None


def _of_word(word: str, report: Report, *, passing: bool | None) -> State:
    told = f"status '{shown(word)}'"
    status = STATUS_WORDS[snake(word)]
    if snake(word) in BLOCKED:
        return State(status, blocked=told)
    if (
        status in {Status.PASSING, Status.PENDING}
        and passing is not None
        and (status is Status.PASSING) != passing
    ):
        report.ignored(f"{told} beside a boolean that says {str(passing).lower()}: pending")
        return State(Status.PENDING)
    report.mapped(told, status)
    if status is Status.ARCHIVED:
        return State(status, archived_from=Status.PASSING if passing else Status.PENDING)
    return State(status)


def settle(
    states: Sequence[State], references: Sequence[str], depends: Sequence[Sequence[str]], report: Report
) -> list[State]:
    """Settle what is blocked: pending where dependencies in the file hold it back, else stuck."""
    by_reference = dict(zip(references, states, strict=True))
    settled = []
    for own, needed in zip(states, depends, strict=True):
        if own.blocked is None:
            settled.append(own)
            continue
        held_back = any(by_reference[reference].status not in SATISFIED for reference in needed)
        status = Status.PENDING if held_back else Status.STUCK
        why = "its dependencies hold it back" if held_back else "a person must look"
        report.mapped(own.blocked, f"{status}: {why}")
        settled.append(replace(own, status=status, blocked=None))
    return settled
