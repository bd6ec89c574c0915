"""Reads the fields for dependencies: ids, names, positions, or words that say what a feature waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.fields import FeatureFields, SourceField, text
from dibs.transfer.formats.vocabulary import BLOCKERS, DEPENDENCIES, DEPENDENCY_INDICES, NOTHING
from dibs_schema.folding import fold
from dibs_schema.refusals import InvalidInput


def read_dependencies(features: Sequence[FeatureFields], entries: Sequence[Entry], report: Report) -> None:
    """Add the dependencies that the file lists to the entries, unchecked.

    The field for blockers may also contain words, such as `waiting for the key`. They become the feature's last failure
    if the file calls it blocked, else text in its description. Raises InvalidInput for a value that is not an id.
    """
    known = {fold(name) for entry in entries for name in (entry.reference, entry.name) if name}
    for fields, entry in zip(features, entries, strict=True):
        for field in fields.take_all("dependencies", DEPENDENCIES, _unless_boolean):
            entry.dependencies += _listed(field, known)
        for field in fields.take_all("dependencies", DEPENDENCY_INDICES, _unless_boolean):
            entry.dependencies += _by_index(field, entries)
        for field in fields.take_all("dependencies", BLOCKERS, _unless_boolean):
            reason = _reason(entry, field, known)
            if entry.blocked:
                entry.last_failure = "\n".join(filter(None, (entry.last_failure, reason))) or None
            elif reason:
                entry.texts.append(("Blocked by", reason))
                report.as_text("what a feature that is not blocked is blocked by")


def _unless_boolean(field: SourceField) -> SourceField | None:
    return None if isinstance(field.value, bool) else field


def _listed(field: SourceField, known: set[str]) -> Iterator[Dependency]:
    """Yield the dependencies in a list, or in a string with commas; a name may also contain commas."""
    if isinstance(field.value, list):
        for index, item in enumerate(field.value):
            path = f"{field.path}[{index}]"
            if item is not None and not _is_nothing(named := _name(item, path)):
                yield Dependency(named, path)
        return
    listed = _name(field.value, field.path)
    parts = [listed] if fold(listed) in known else [part.strip() for part in listed.split(",")]
    yield from (Dependency(part, field.path) for part in parts if part and not _is_nothing(part))


def _is_nothing(word: str) -> bool:
    return word.strip(" .()[]").casefold() in NOTHING


def _name(item: Any, path: str) -> str:
    named = text(item.get("id") or item.get("name") if isinstance(item, dict) else item)
    if named is None or isinstance(item, list):
        raise InvalidInput(f"{path} is not an id; write the id of a feature of this file there.", field=path)
    return named


def _reason(entry: Entry, field: SourceField, known: set[str]) -> str | None:
    """Add the known ids of a field to the dependencies, and return its other words: an id has no spaces."""
    found = list(_listed(field, known))
    words = [str(one.reference) for one in found if _is_words(one, known)]
    entry.dependencies += [one for one in found if not _is_words(one, known)]
    return text(field.value) if isinstance(field.value, str) and len(words) == len(found) else "\n".join(words)


def _is_words(one: Dependency, known: set[str]) -> bool:
    return fold(str(one.reference)) not in known and any(letter.isspace() for letter in str(one.reference))


def _by_index(field: SourceField, entries: Sequence[Entry]) -> list[Dependency]:
    found = []
    for position, index in enumerate(field.value if isinstance(field.value, list) else [field.value]):
        path = f"{field.path}[{position}]"
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(entries):
            last = len(entries) - 1
            raise InvalidInput(f"{path} is not a position in the list; positions are 0 to {last}.", field=path)
        found.append(Dependency(index, path))
    return found
