"""Writes the states of features into the JSON file that they were imported from, and changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from dibs.transfer.formats import task_master
from dibs.transfer.formats.backlog import ImportedFeature, Report, SourceFile
from dibs.transfer.formats.fields import truth
from dibs.transfer.formats.json_file import TOOLS, locate
from dibs.transfer.formats.json_positions import Located, parse_located
from dibs.transfer.formats.json_text import parse, records_of
from dibs.transfer.formats.state_edits import Edit, State, with_edits
from dibs.transfer.formats.state_words import StateWords
from dibs.transfer.formats.vocabulary import BLOCKED_FLAGS, FLAGS, HUMAN_FLAGS, PROGRESS_FLAGS, STATUSES, snake
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status


def edit(file: SourceFile, features: Sequence[ImportedFeature], states: Sequence[State | None]) -> tuple[str, int]:
    """Return the text with the states, and the number of features that differ from before.

    `features` are what the file's reader returned; a feature whose state is None is not changed. Raises InvalidInput
    for files of tools that are only read, or if anything but the states would change.
    """
    text = file.text()
    document = parse_located(text)
    entries = _entries(document, file)
    words = StateWords(value for entry in entries for _, value in _among(entry, STATUSES) if isinstance(value, str))
    edits: list[Edit] = []
    changed = 0
    for entry, feature, state in zip(entries, features, states, strict=True):
        if state is None or not isinstance(entry, Located):  # a text in a group has no fields
            continue
        new = dict(_changes(entry, feature, state, words))
        edits += (Edit(*entry.spans[key], json.dumps(new[key], ensure_ascii=text.isascii())) for key in new)
        entry.origin.update(new)
        changed += bool(new)
    edited = with_edits(text, edits)
    if parse(edited) != document:
        raise InvalidInput("its form cannot be edited in place; edit it by hand.")
    return edited, changed


def _entries(document: Any, file: SourceFile) -> list[dict[str, Any]]:
    """Return the objects of the document that become features, in the reader's order."""
    tool = next((one for one in TOOLS if one.recognizes(document)), None)
    if tool is task_master:
        tags = task_master.chosen_tags(document, file.options.tag)
        return [task for tag in tags.values() for _, task in records_of(tag, "tasks")]
    if tool is not None:
        raise InvalidInput("files of this tool are only read.")
    return [raw.fields for raw in locate(document, Report())[1]]


def _changes(
    entry: dict[str, Any], feature: ImportedFeature, state: State, words: StateWords
) -> Iterator[tuple[str, Any]]:
    """Yield the keys whose values must change, and the new values."""
    for key, value in _among(entry, ("notes",)):
        if isinstance(value, str) and (notes := state.notes_after(value)) != value:
            yield key, notes
    if (feature.status, feature.archived_from) == (state.status, state.archived_from):
        return
    flags = {
        FLAGS: state.passes,
        HUMAN_FLAGS: state.status is Status.NEEDS_HUMAN,
        BLOCKED_FLAGS: state.status is Status.STUCK,
        PROGRESS_FLAGS: False,
    }
    for names, wanted in flags.items():
        for key, value in _among(entry, names):
            if truth(value) not in (None, wanted):
                yield key, _flag(value, wanted=wanted)
    for key, value in _among(entry, STATUSES):
        if isinstance(value, str) and value != (word := words.word(state.status)):
            yield key, word


def _among(entry: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in entry.items() if snake(key) in names)


def _flag(value: Any, *, wanted: bool) -> bool | int | str:
    """Return the boolean in the form that the file uses: true, 1, "yes" or "true"."""
    if isinstance(value, bool):
        return wanted
    if isinstance(value, int):
        return int(wanted)
    yes_no = str(value).strip().casefold() in ("yes", "no")
    return ("yes" if wanted else "no") if yes_no else str(wanted).lower()
