"""A feature's status, from its status word or its booleans in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dibs.transfer.formats.backlog import ReadOptions, Report
from dibs.transfer.formats.entry import Entry
from dibs.transfer.formats.fields import FeatureFields, SourceField, one_line, shown, truth
from dibs.transfer.formats.vocabulary import (
    BLOCKED,
    BLOCKED_FLAGS,
    FLAGS,
    HUMAN_FLAGS,
    PROGRESS_FLAGS,
    STATUS_WORDS,
    STATUSES,
    SYMBOLS,
    snake,
)
from dibs_schema.status import Status

_REST: Final = re.compile(r"\s*[(:;,\u2013\u2014]|\s+-\s+")
"""Where a status word ends and what else the field says begins."""


@dataclass(frozen=True, slots=True)
class StatusWord:
    """The status that a word means, whether it means blocked, and the text after the word, such as a reason."""

    status: Status
    blocked: bool
    rest: str | None = None


def status_word(word: str, statuses: Mapping[str, Status]) -> StatusWord | None:
    """Return the meaning of a status word, of its beginning, or of a symbol, or None. `statuses` are the user's words."""
    head, rest = word, None
    while True:
        name = snake(head) or snake(SYMBOLS.get(head.strip(" []\ufe0f")[:1], ""))
        if name in statuses or name in STATUS_WORDS:
            blocked = name in BLOCKED and name not in statuses
            return StatusWord(statuses.get(name) or STATUS_WORDS[name], blocked, rest)
        if rest is not None or (end := _REST.search(word)) is None:
            return None
        head, rest = word[: end.start()], word[end.end() :].strip(" ()") or None
        if rest is None:
            return None


def read_status(entry: Entry, fields: FeatureFields, report: Report, options: ReadOptions) -> None:
    """Set the status: from the word if it is known, else from the booleans, else pending.

    A feature is passing only if none of its fields contradicts it: repeated work costs less than lost work.
    A feature in progress becomes pending, because no agent has claimed it here.
    """
    flags = fields.take_all("status", FLAGS, _flag)
    others = {
        status: fields.take("status", names, _flag)
        for names, status in (
            (HUMAN_FLAGS, Status.NEEDS_HUMAN),
            (PROGRESS_FLAGS, Status.PENDING),
            (BLOCKED_FLAGS, Status.STUCK),
        )
    }
    passing = all(flag.value for flag in flags) if flags else None
    word = fields.take("status", STATUSES, lambda field: _known_word(field, report, options))
    fields.forget(STATUSES)
    if word is not None:
        _from_word(entry, *word, report, passing=passing)
        return
    chosen = next((flag for flag in flags if passing or not flag.value), None)
    entry.status = Status.PASSING if passing else Status.PENDING
    if not passing:
        named = ((flag, status) for status, flag in others.items() if flag and flag.value)
        chosen, entry.status = next(named, (chosen, entry.status))
    entry.blocked = entry.status is Status.STUCK
    report.mapped(f"{chosen.name} {str(chosen.value).lower()}" if chosen else "no status", entry.status)


def _flag(field: SourceField) -> SourceField | None:
    """Return the field with the boolean that its value means, or None."""
    value = truth(field.value)
    return None if value is None else replace(field, value=value)


def _known_word(field: SourceField, report: Report, options: ReadOptions) -> tuple[str, StatusWord] | None:
    word = one_line(field.value)
    found = status_word(word, options.statuses) if word is not None else None
    if word is not None and found is not None:
        return word, found
    report.unknown(f"status '{shown(word or field.value)}': other fields decide, else it is pending")
    return None


def _from_word(entry: Entry, word: str, found: StatusWord, report: Report, *, passing: bool | None) -> None:
    label = f"status '{shown(word)}'"
    entry.status, entry.blocked = found.status, found.blocked
    contradicts = passing is not None and passing != (found.status is Status.PASSING)
    if contradicts and found.status in {Status.PASSING, Status.PENDING}:
        report.ignored(f"{label}, which a boolean field that says {str(passing).lower()} contradicts: pending")
        entry.status = Status.PENDING
    else:
        report.mapped(label, "blocked" if found.blocked else found.status)
    if found.status is Status.ARCHIVED:
        entry.archived_from = Status.PASSING if passing else Status.PENDING
    if found.rest is None:
        return
    if found.status is Status.STUCK:
        entry.last_failure = found.rest
    else:
        entry.texts.append(("Status", word))
        report.as_text("what a status says besides its word")
