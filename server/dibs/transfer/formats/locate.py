"""Where in a document the features are: a bare list, a list under a common key, groups of lists, or lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.document import Lines
from dibs.transfer.formats.fields import shown
from dibs.transfer.formats.vocabulary import (
    CONTAINERS,
    DESCRIPTIONS,
    FLAGS,
    GROUP_NAMES,
    GROUPS,
    IDS,
    NAMES,
    STATUSES,
    snake,
)
from dibs_schema.refusals import InvalidInput

WRAPPERS = 3
"""As many objects may stand around the one that has the list."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One feature as it was found, with its path and the name of the group around it."""

    path: str
    value: dict[str, Any]
    group: str | None = None


def entries(document: Any, report: Report) -> tuple[str, list[Entry]]:
    """Return what kind of file it is and its features in order; fields beside the list are reported."""
    if isinstance(document, Lines):
        return "JSON Lines", [Entry(path, _object(value, path)) for path, value in _numbered(document)]
    if isinstance(document, list):
        return "JSON list", list(_members("", document, None))
    return _in_object(document, report)


def _numbered(lines: Lines) -> Iterator[tuple[str, Any]]:
    return ((f"line {number}", value) for number, value in lines)


def _in_object(document: Any, report: Report, around: str = "", depth: int = 0) -> tuple[str, list[Entry]]:
    if not isinstance(document, dict):
        raise InvalidInput("its JSON is neither a list of features nor an object with one.")
    keys = [key for key in document if snake(key) in CONTAINERS]
    found = [key for key in keys if _holds_objects(document[key])]
    if not found:
        found = [key for key in document if snake(key) in GROUPS and _holds_groups(document[key])]
    if len(found) > 1:
        both = " and ".join(repr(shown(key)) for key in found[:5])
        raise InvalidInput(
            f"it holds several lists, {both}; leave one of them in a copy.", field=shown(found[1])
        )
    if found:
        path = f"{around}{shown(found[0])}"
        _tell_rest(document, found[0], around, report)
        return f"JSON list under '{path}'", list(_members(path, document[found[0]], None))
    return _elsewhere(document, keys, report, around, depth)


def _elsewhere(
    document: dict[str, Any], keys: list[str], report: Report, around: str, depth: int
) -> tuple[str, list[Entry]]:
    inner = [key for key, value in document.items() if isinstance(value, dict) and _has_list(value)]
    if len(inner) == 1 and depth < WRAPPERS:
        _tell_rest(document, inner[0], around, report)
        return _in_object(document[inner[0]], report, f"{around}{shown(inner[0])}.", depth + 1)
    if inner:
        names = ", ".join(repr(shown(key)) for key in inner[:5])
        raise InvalidInput(
            f"it holds several lists, in {names}; leave one of them in a copy.", field=shown(inner[0])
        )
    for key in keys:
        if isinstance(document[key], list) and document[key]:
            _object(document[key][0], f"{around}{shown(key)}[0]")
    if any(document[key] in ([], {}) for key in keys):
        return f"JSON list under '{around}{shown(keys[0])}'", []
    if _is_feature(document):
        return "one JSON feature", [Entry("feature", document)]
    known = ", ".join(CONTAINERS[:5])
    raise InvalidInput(
        f"it has no list of features: neither is it a list, nor is there one under {known} or the like."
    )


def _members(path: str, held: Any, group: str | None) -> Iterator[Entry]:
    """Yield the features of a list, or of an object by id, and of the groups among them."""
    for key, value in held.items() if isinstance(held, dict) else enumerate(held):
        here = f"{path}.{shown(key)}" if isinstance(key, str) else f"{path}[{key}]"
        member = _object(value, here)
        lists = [name for name in member if snake(name) in CONTAINERS and _holds_objects(member[name])]
        if lists:
            name = _group_name(member) or (key if isinstance(key, str) else group)
            for inner in lists:
                yield from _members(f"{here}.{shown(inner)}", member[inner], name)
        elif isinstance(key, str) and not any(snake(name) in IDS and held for name, held in member.items()):
            yield Entry(here, member | {"id": key}, group)
        else:
            yield Entry(here, member, group)


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} is no object; a feature is one, with at least a name.", field=path)
    return value


def _objects(held: Any) -> list[Any]:
    values = list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else []
    plain = isinstance(held, list)
    return values if values and (plain or all(isinstance(value, dict) for value in values)) else []


def _holds_objects(held: Any) -> bool:
    """Whether a value can be a list of features: one with any object, or an object of objects alone."""
    return any(isinstance(value, dict) for value in _objects(held))


def _holds_groups(held: Any) -> bool:
    return any(isinstance(value, dict) and _has_list(value) for value in _objects(held))


def _has_list(value: dict[str, Any]) -> bool:
    return any(snake(key) in CONTAINERS and isinstance(inner, list | dict) for key, inner in value.items())


def _group_name(member: dict[str, Any]) -> str | None:
    by_name = {snake(key): value for key, value in member.items()}
    return next((by_name[name] for name in GROUP_NAMES if isinstance(by_name.get(name), str)), None)


def _is_feature(document: dict[str, Any]) -> bool:
    keys = {snake(key) for key in document}
    return bool(keys & {*NAMES, *DESCRIPTIONS}) and bool(keys & {*IDS, *STATUSES, *FLAGS})


def _tell_rest(document: dict[str, Any], taken: str, around: str, report: Report) -> None:
    for key, value in document.items():
        if key != taken and value not in (None, "", [], {}):
            report.ignored(f"{around}{shown(key)} of the file")
