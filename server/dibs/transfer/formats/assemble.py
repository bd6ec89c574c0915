"""Turns the entries of a reader into a backlog: the steps that all formats share, within the limits of a feature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dibs.transfer.formats.backlog import (
    CATEGORY_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    PRIORITY_LIMIT,
    STEP_COUNT,
    STEP_LENGTH,
    Backlog,
    ImportedFeature,
    ReadOptions,
    Report,
)
from dibs.transfer.formats.entry import Entry
from dibs.transfer.formats.human_input import default_request
from dibs.transfer.formats.references import dependencies_of, references_of
from dibs_schema.file_areas import MOST_PATHS, path_of, paths_of
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import SATISFIED, Status

DEFAULT_CATEGORY: Final = "general"
NOTE_LENGTH: Final = 2_000
FEWEST_EDGES: Final = 3
"""Dependencies between given priorities from which on their direction says something."""

_MARKUP = re.compile(r"^[\s#>*-]+")
_ABBREVIATION = r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)(?<!\bapprox)"
_SENTENCE = re.compile(rf".{{15,}}?{_ABBREVIATION}[.!?\u3002\uff01\uff1f](?=\s|$)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def assemble(
    name: str, entries: Sequence[Entry], report: Report, options: ReadOptions, *, source: str | None = None
) -> Backlog:
    """Return the backlog of a file in the format called `name`; the entries are in the order of the queue.

    `source` is what the references belong to, if the file says so. Changes the entries.
    Raises InvalidInput for an entry without a text of its own, for equal ids, and for dependencies as `dependencies_of`.
    """
    for entry in entries:
        _name(entry, report)
    references = references_of(entries)
    dependencies = dependencies_of(entries, references, report, drop_unknown=options.drop_unknown)
    _settle_blocked(entries, references, dependencies, report)
    _warn_of_priorities(entries, references, dependencies, report)
    features = [
        ImportedFeature(
            path=entry.path,
            reference=reference,
            category=entry.category or DEFAULT_CATEGORY,
            name=entry.name or "",
            steps=_steps(entry, report),
            description=_description(entry, report),
            priority=priority,
            has_priority=entry.priority is not None,
            status=entry.status,
            archived_from=entry.archived_from,
            dependencies=needed,
            paths=paths,
            notes=[_cut(note, NOTE_LENGTH, f"{entry.path}: a note", report) for note in entry.notes],
            evidence=_record(entry.evidence, f"{entry.path}: the evidence", report),
            last_failure=_record(entry.last_failure, f"{entry.path}: the last failure", report),
            human_request=_request(entry),
            human_answer=entry.human_answer,
        )
        for entry, reference, needed, priority, paths in zip(
            entries,
            references,
            dependencies,
            _priorities(entries, report),
            [_paths(entry, report) for entry in entries],
            strict=True,
        )
    ]
    return report.backlog(name, features, source)


def _name(entry: Entry, report: Report) -> None:
    """Derive a missing name, description or category of an entry from its other fields."""
    if not entry.name and not entry.description:
        raise InvalidInput(f"{entry.path} has no text of its own; give it a name or a description.", field=entry.path)
    if not entry.name:
        entry.name = _headline(entry.description or "")
        report.mapped("description's first sentence", "name")
    elif len(entry.name) > NAME_LENGTH:
        entry.description = "\n\n".join(filter(None, (entry.name, entry.description)))
        report.as_text(
            f"{entry.path}: the name is longer than {NAME_LENGTH} characters; all of it is in the description"
        )
        entry.name = _shortened(entry.name, NAME_LENGTH)
    if not entry.category:
        report.mapped("no category", f"'{DEFAULT_CATEGORY}'")
    entry.category = _cut(entry.category or DEFAULT_CATEGORY, CATEGORY_LENGTH, f"{entry.path}: the category", report)


def _headline(description: str) -> str:
    """Return the first line or sentence, shortened between two words to the length of a name."""
    lines = (_MARKUP.sub("", line).strip() for line in description.split("\n"))
    line = " ".join(next((line for line in lines if line), description).split())
    sentence = _SENTENCE.match(line)
    head = (sentence.group() if sentence else line).rstrip(".") or line
    return _shortened(head, NAME_LENGTH)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def _cut(text: str, limit: int, what: str, report: Report) -> str:
    """Truncate the text to the limit, and report `what` if it was longer."""
    if len(text) <= limit:
        return text
    report.as_text(f"{what} was cut from {len(text):,} to {limit:,} characters")
    return clean(text[: limit - 1]).rstrip() + "…"


def _record(text: str | None, what: str, report: Report) -> str | None:
    return _cut(text, DESCRIPTION_LENGTH, what, report) if text else None


def _steps(entry: Entry, report: Report) -> list[str]:
    """Return the steps; those beyond the limit go to the texts for the description."""
    if len(entry.steps) > STEP_COUNT:
        rest = "\n".join(f"- {step}" for step in entry.steps[STEP_COUNT:])
        entry.texts.append(("More steps", rest))
        report.as_text(f"{entry.path}: the steps after the first {STEP_COUNT} are in the description")
    return [
        _cut(step, STEP_LENGTH, f"{entry.path}: step {number}", report)
        for number, step in enumerate(entry.steps[:STEP_COUNT], start=1)
    ]


def _paths(entry: Entry, report: Report) -> list[str]:
    """Return the paths in the form of a feature; what does not fit goes to the texts for the description."""
    found: dict[str, None] = {}
    odd = []
    for given in entry.paths:
        try:
            path = path_of(given)
            paths_of([*found, path])
        except ValueError:
            odd.append(given)
        else:
            if path in found or len(found) < MOST_PATHS:
                found[path] = None
            else:
                odd.append(given)
    if odd:
        entry.texts.append(("Files", ", ".join(odd)))
        report.as_text(f"{entry.path}: the paths that are not valid, or too many")
    return list(found)


def _description(entry: Entry, report: Report) -> str:
    if not entry.description:
        report.mapped("name", "description")
    texts = (f"{title}:\n{text}" if "\n" in text else f"{title}: {text}" for title, text in entry.texts)
    whole = "\n\n".join((entry.description or entry.name or "", *texts))
    return _cut(whole, DESCRIPTION_LENGTH, f"{entry.path}: the description", report)


def _settle_blocked(
    entries: Sequence[Entry], references: Sequence[str], dependencies: Sequence[Sequence[str]], report: Report
) -> None:
    """Give blocked entries their status: pending if a dependency in the file is unmet, else stuck."""
    status = {
        reference: Status.STUCK if entry.blocked else entry.status
        for reference, entry in zip(references, entries, strict=True)
    }
    for entry, needed in zip(entries, dependencies, strict=True):
        if not entry.blocked:
            continue
        waits = any(status[reference] not in SATISFIED for reference in needed)
        entry.status = Status.PENDING if waits else Status.STUCK
        reason = "it has unmet dependencies" if waits else "a person must look"
        report.mapped("blocked", f"{entry.status}: {reason}")


def _request(entry: Entry) -> dict[str, object] | None:
    waits = Status.NEEDS_HUMAN in (entry.status, entry.archived_from)
    return entry.human_request or (default_request(entry.name or "") if waits else None)


def _priorities(entries: Sequence[Entry], report: Report) -> list[int]:
    """Return each entry's priority, or its place in the file; phases follow one after the other."""
    own = [place if entry.priority is None else entry.priority for place, entry in enumerate(entries, start=1)]
    rank = _ranks(entries)
    in_order = sorted(range(len(own)), key=own.__getitem__)
    if [rank[place] for place in in_order] == sorted(rank):
        return own
    lowest = min(own)
    width = 10 ** len(str(max(own) - lowest + 1))
    if width * (max(rank) + 1) > PRIORITY_LIMIT:
        return own
    report.mapped("phase", "priority: one phase after the other")
    return [number * width + one - min(lowest, 0) for number, one in zip(rank, own, strict=True)]


def _ranks(entries: Sequence[Entry]) -> list[int]:
    """Return the rank of each entry's phase: by its number if all have one, else by first appearance in the file."""
    names = [str(entry.phase) for entry in entries if entry.phase is not None]
    phases = list(dict.fromkeys(names))
    numbers = {name: int(found[0][:9]) for name in phases if (found := _NUMBER.search(name))}
    if len(numbers) == len(phases):
        phases.sort(key=numbers.__getitem__)
    ranks = {name: rank for rank, name in enumerate(phases)}
    return [len(phases) if entry.phase is None else ranks[str(entry.phase)] for entry in entries]


def _warn_of_priorities(
    entries: Sequence[Entry], references: Sequence[str], dependencies: Sequence[Sequence[str]], report: Report
) -> None:
    """Warn if most dependencies come later in the queue than the features that depend on them."""
    given = {one: entry.priority for one, entry in zip(references, entries, strict=True) if entry.priority is not None}
    pairs = [
        (given[reference], given[other])
        for reference, needed in zip(references, dependencies, strict=True)
        for other in needed
        if reference in given and other in given and given[reference] != given[other]
    ]
    against = sum(own < other for own, other in pairs)
    if len(pairs) >= FEWEST_EDGES and 2 * against > len(pairs):
        report.warn(
            f"{against} of {len(pairs)} dependencies have a larger priority than the feature that needs them, and the "
            "smallest priority is the first here. If larger means more urgent in this file, import with --highest-first."
        )
