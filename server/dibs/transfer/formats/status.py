"""A feature's status, from its status word or its booleans in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.fields import FeatureFields, SourceField, one_line, shown, truth
from dibs.transfer.formats.vocabulary import BLOCKED, FLAGS, HUMAN_FLAGS, PROGRESS_FLAGS, STATUS_WORDS, STATUSES, snake
from dibs_schema.status import SATISFIED, Status


@dataclass(frozen=True, slots=True)
class ImportedStatus:
    """A status, and the earlier one of an archived feature.

    `blocked` holds the file's word for a blocked feature until `settle_blocked` replaces the status.
    """

    status: Status
    archived_from: Status | None = None
    blocked: str | None = None


def read_status(feature: FeatureFields, report: Report) -> ImportedStatus:
    """Return the status: from the word if it is known, else from the booleans, else pending.

    A feature is passing only if none of its fields contradicts it: repeated work costs less than lost work.
    A feature in progress becomes pending, because no agent has claimed it here.
    """
    flags = feature.take_all("status", FLAGS, _flag)
    waits = feature.take("status", HUMAN_FLAGS, _flag)
    in_progress = feature.take("status", PROGRESS_FLAGS, _flag)
    passing = all(flag.value for flag in flags) if flags else None
    word = feature.take("status", STATUSES, lambda field: _known_word(field, report))
    if word is not None:
        return _from_word(word, report, passing=passing)
    if passing:
        return _from_flag(flags[0], Status.PASSING, report)
    if waits and waits.value:
        return _from_flag(waits, Status.NEEDS_HUMAN, report)
    if in_progress and in_progress.value:
        return _from_flag(in_progress, Status.PENDING, report)
    return _from_flag(next((flag for flag in flags if not flag.value), None), Status.PENDING, report)


def _flag(field: SourceField) -> SourceField | None:
    """Return the field with the boolean that its value means, or None."""
    value = truth(field.value)
    return None if value is None else replace(field, value=value)


def _from_flag(flag: SourceField | None, status: Status, report: Report) -> ImportedStatus:
    report.mapped(f"{flag.name} {str(flag.value).lower()}" if flag else "no status", status)
    return ImportedStatus(status)


def _known_word(field: SourceField, report: Report) -> str | None:
    word = one_line(field.value)
    if word is not None and snake(word) in STATUS_WORDS:
        return word
    report.ignored(f"status '{shown(word or field.value)}', an unknown word: other fields decide, else it is pending")
    return None


def _from_word(word: str, report: Report, *, passing: bool | None) -> ImportedStatus:
    label = f"status '{shown(word)}'"
    status = STATUS_WORDS[snake(word)]
    if snake(word) in BLOCKED:
        return ImportedStatus(status, blocked=label)
    contradicts = passing is not None and passing != (status is Status.PASSING)
    if contradicts and status in {Status.PASSING, Status.PENDING}:
        report.ignored(f"{label}, which a boolean field that says {str(passing).lower()} contradicts: pending")
        return ImportedStatus(Status.PENDING)
    report.mapped(label, status)
    if status is Status.ARCHIVED:
        return ImportedStatus(status, archived_from=Status.PASSING if passing else Status.PENDING)
    return ImportedStatus(status)


def settle_blocked(
    found: Sequence[ImportedStatus], references: Sequence[str], dependencies: Sequence[Sequence[str]], report: Report
) -> list[ImportedStatus]:
    """Replace the status of blocked features: pending if a dependency in the file is unmet, else stuck."""
    by_reference = dict(zip(references, found, strict=True))
    settled = []
    for own, needed in zip(found, dependencies, strict=True):
        if own.blocked is None:
            settled.append(own)
            continue
        waits = any(by_reference[reference].status not in SATISFIED for reference in needed)
        status = Status.PENDING if waits else Status.STUCK
        reason = "it has unmet dependencies" if waits else "a person must look"
        report.mapped(own.blocked, f"{status}: {reason}")
        settled.append(replace(own, status=status, blocked=None))
    return settled
