"""The JSON format: finds the features in a JSON or JSON Lines file.

The features may be a bare list, a list under a common key, groups of such lists, or one object per line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dibs.transfer.formats import beads, feature_list, github_issues, shrimp, task_master
from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.fields import RawFeature, one_line, shown, text
from dibs.transfer.formats.json_text import Lines, parse
from dibs.transfer.formats.vocabulary import snake
from dibs_schema.refusals import InvalidInput


class JsonTool(Protocol):
    """The interface of a module for a tool whose files are JSON."""

    def recognizes(self, document: Any) -> bool:
        """Check whether the tool wrote the document."""

    def read(self, document: Any, file: SourceFile) -> Backlog:
        """Return the backlog in the document. Raises InvalidInput."""


TOOLS: Final[tuple[JsonTool, ...]] = (beads, task_master, shrimp, github_issues)
"""The tools whose JSON has fields of its own; the first that recognizes a document reads it."""


def recognizes(file: SourceFile) -> bool:  # noqa: ARG001 - the interface of a format
    """Accept every file, so that the refusal of any other content says where it is not JSON."""
    return True


def read(file: SourceFile) -> Backlog:
    """Return the backlog of a JSON or JSON Lines file. Raises InvalidInput."""
    document = parse(file.text())
    tool = next((one for one in TOOLS if one.recognizes(document)), None)
    if tool is not None:
        return tool.read(document, file)
    report = Report()
    name, found = locate(document, report)
    return feature_list.read(name, found, report, file.options, source=_source(document))


def _source(document: Any) -> str | None:
    """Return what the file says its ids belong to, such as a branch."""
    if not isinstance(document, dict):
        return None
    by_name = {snake(key): one_line(value) for key, value in document.items() if isinstance(value, str)}
    return next((source for name in words.SOURCES if (source := by_name.get(name))), None)


def locate(document: Any, report: Report) -> tuple[str, list[RawFeature]]:
    """Return the kind of document and its features in order. Raises InvalidInput.

    Fields outside the list are reported as ignored.
    """
    if isinstance(document, Lines):
        numbered = ((f"line {number}", value) for number, value in document)
        return "JSON Lines", [RawFeature(path, _object(value, path)) for path, value in numbered]
    if isinstance(document, list):
        return "JSON list", list(_members("", document, _OUTSIDE))
    return _in_object(document, report)


def _in_object(document: Any, report: Report, prefix: str = "", depth: int = 0) -> tuple[str, list[RawFeature]]:
    if not isinstance(document, dict):
        raise InvalidInput("its JSON is neither a list of features nor an object with such a list.")
    keys = [key for key in document if snake(key) in words.CONTAINERS]
    found = [key for key in keys if _holds_objects(document[key])]
    found = found or [
        key for key in document if snake(key) in words.GROUPS and any(map(_has_list, _objects(document[key])))
    ]
    if len(found) > 1:
        raise _several_lists(" and ".join(repr(shown(key)) for key in found[:5]), shown(found[1]))
    if found:
        path = f"{prefix}{shown(found[0])}"
        _report_rest(document, found[0], prefix, report)
        return f"JSON list under '{path}'", list(_members(path, document[found[0]], _Group(kind=snake(found[0]))))
    return _in_wrapper(document, keys, report, prefix, depth)


def _in_wrapper(
    document: dict[str, Any], keys: list[str], report: Report, prefix: str, depth: int
) -> tuple[str, list[RawFeature]]:
    inner = [key for key, value in document.items() if _has_list(value)]
    if len(inner) == 1 and depth < 3:  # objects around the one with the list
        _report_rest(document, inner[0], prefix, report)
        return _in_object(document[inner[0]], report, f"{prefix}{shown(inner[0])}.", depth + 1)
    if inner:
        raise _several_lists(f"in {', '.join(repr(shown(key)) for key in inner[:5])}", shown(inner[0]))
    for key in keys:
        if isinstance(document[key], list) and document[key]:
            _object(document[key][0], f"{prefix}{shown(key)}[0]")
    if any(document[key] in ([], {}) for key in keys):
        return f"JSON list under '{prefix}{shown(keys[0])}'", []
    names = {snake(key) for key in document}
    if names & {*words.NAMES, *words.DESCRIPTIONS} and names & {*words.IDS, *words.STATUSES, *words.FLAGS}:
        return "one JSON feature", [RawFeature("feature", document)]
    if document and all(key.isdecimal() and isinstance(value, dict) for key, value in document.items()):
        return "JSON object with ids as keys", list(_members("", document, _OUTSIDE))
    known = ", ".join(words.CONTAINERS[:5])
    raise InvalidInput(f"it has no list of features: it is not a list, and has none under a key such as {known}.")


def _several_lists(names: str, field: str) -> InvalidInput:
    return InvalidInput(f"it has several lists, {names}; make a copy with one of them.", field=field)


@dataclass(frozen=True, slots=True)
class _Group:
    """The list or object that encloses these members: its kind, name and phase."""

    kind: str = ""
    name: str | None = None
    phase: str | None = None

    def inner(self, kind: str, name: str | None) -> _Group:
        """Return a group inside this one. It inherits the phase, unless it is a named phase itself."""
        phase = name if self.kind in words.PHASE_GROUPS and name else self.phase
        return _Group(kind, name or self.name, phase)


_OUTSIDE: Final = _Group()


def _members(path: str, held: Any, group: _Group) -> Iterator[RawFeature]:
    """Yield the features of a list, or of an object with ids as keys, and of the groups among them."""
    for key, value in held.items() if isinstance(held, dict) else enumerate(held):
        here = f"{path}.{shown(key)}".lstrip(".") if isinstance(key, str) else f"{path}[{key}]"
        if group.name and isinstance(value, str) and text(value):
            yield RawFeature(here, {"name": value}, group.name, group.phase)
            continue
        if isinstance(key, str) and isinstance(value, list) and _holds_objects(value):
            yield from _members(here, value, group.inner("", key))
            continue
        member = _object(value, here)
        if lists := _lists_in(member, group):
            name = _group_name(member) or (key if isinstance(key, str) else None)
            for inner in lists:
                yield from _members(f"{here}.{shown(inner)}", member[inner], group.inner(snake(inner), name))
        elif isinstance(key, str) and not _is_feature(member) and any(map(_holds_objects, member.values())):
            yield from _members(here, member, group.inner("", key))
        elif isinstance(key, str) and not any(snake(name) in words.IDS and held for name, held in member.items()):
            yield RawFeature(here, member | {"id": key}, group.name, group.phase)
        else:
            yield RawFeature(here, member, group.name, group.phase)


def _is_feature(member: dict[str, Any]) -> bool:
    """Return whether an object has a text of its own."""
    texts = {*words.NAMES, *words.SPARE_NAMES, *words.DESCRIPTIONS}
    return any(snake(name) in texts and isinstance(value, str) for name, value in member.items())


def _lists_in(member: dict[str, Any], group: _Group) -> list[str]:
    """Return the names of the lists of features in an object. In a group, they may have strings, or be empty."""
    in_group = group.kind in words.GROUPS
    containers = [name for name in member if snake(name) in words.CONTAINERS]
    groups = [name for name in member if in_group and snake(name) in words.GROUPS]
    return [
        *(
            name
            for name in containers
            if _holds_objects(member[name]) or (in_group and _is_list_of_texts(member[name]))
        ),
        *(name for name in groups if _holds_objects(member[name])),
    ]


def _is_list_of_texts(held: Any) -> bool:
    return isinstance(held, list) and all(isinstance(one, str) for one in held)


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} is not an object; a feature is an object with at least a name.", field=path)
    return value


def _objects(held: Any) -> list[Any]:
    """Return the elements of a list, or the values of an object of objects, or an empty list."""
    if isinstance(held, dict) and all(isinstance(value, dict) for value in held.values()):
        return list(held.values())
    return held if isinstance(held, list) else []


def _holds_objects(held: Any) -> bool:
    return any(isinstance(value, dict) for value in _objects(held))


def _has_list(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return any(
        (snake(key) in words.CONTAINERS and isinstance(inner, list | dict))
        or (snake(key) in words.GROUPS and _holds_objects(inner))
        for key, inner in value.items()
    )


def _group_name(member: dict[str, Any]) -> str | None:
    by_name = {snake(key): value for key, value in member.items()}
    return next((by_name[name] for name in words.GROUP_NAMES if isinstance(by_name.get(name), str)), None)


def _report_rest(document: dict[str, Any], taken: str, prefix: str, report: Report) -> None:
    for key, value in document.items():
        if (
            key != taken
            and not (isinstance(value, str) and snake(key) in words.SOURCES)
            and value not in (None, "", [], {})
        ):
            report.ignored(f"{prefix}{shown(key)} of the file")
