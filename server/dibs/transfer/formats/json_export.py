"""Exports in JSON: one key a line, so that a change of one field is a change of one line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from dibs.transfer.formats.exported import FIELDS, MARK, ExportedFeature, Header
from dibs_schema.status import Status

INDENT: Final = 2

_BULLET: Final = "- "
PRD_KEYS: Final = {
    "name": "title",
    "steps": "acceptanceCriteria",
    "archived_from": "archivedFrom",
    "last_failure": "lastFailure",
    "human_request": "humanRequest",
    "human_answer": "humanAnswer",
}
"""The keys of a `prd.json` that differ from the names of fields."""


def write_feature_list(header: Header, features: Iterable[ExportedFeature]) -> Iterator[str]:
    """Yield the text of a `feature_list.json`."""
    return _document({MARK: header.mark}, "features", map(_fields, features))


def write_prd(header: Header, features: Iterable[ExportedFeature]) -> Iterator[str]:
    """Yield the text of a `prd.json`, whose notes are one string."""
    stories = ({PRD_KEYS.get(name, name): value for name, value in _story(one).items()} for one in features)
    return _document({MARK: header.mark, "project": header.project}, "userStories", stories)


def _fields(feature: ExportedFeature) -> dict[str, Any]:
    return {name: feature[name] for name in FIELDS if name in feature}


def _story(feature: ExportedFeature) -> dict[str, Any]:
    """Return a feature with ids as strings, as other tools write them, and a status only if `passes` is not enough."""
    story = {**_fields(feature), "id": str(feature["id"]), "notes": join_texts(feature.get("notes", []))}
    if "dependencies" in story:
        story["dependencies"] = list(map(str, story["dependencies"]))
    if story["status"] in (Status.PENDING, Status.PASSING):
        del story["status"]
    return story


def join_texts(texts: Sequence[str]) -> str:
    """Return notes or steps as one text: a single text unchanged, several as a list."""
    if len(texts) == 1 and not texts[0].startswith(_BULLET):
        return texts[0]
    return "\n".join(_BULLET + text.replace("\n", "\n  ") for text in texts)


def split_texts(text: Any) -> Any:
    """Return the texts that `join_texts` has joined; any other value as it is."""
    if not isinstance(text, str):
        return text
    if not text.startswith(_BULLET):
        return [text] if text else []
    return [one.replace("\n  ", "\n") for one in text.removeprefix(_BULLET).split("\n" + _BULLET)]


def _document(head: Mapping[str, Any], key: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield _dumped(head, 0).removesuffix("\n}") + f",\n{' ' * INDENT}{json.dumps(key)}: ["
    separator = ""
    for entry in entries:
        yield f"{separator}\n{' ' * 2 * INDENT}{_dumped(entry, 2)}"
        separator = ","
    yield f"\n{' ' * INDENT}]\n}}\n" if separator else "]\n}\n"


def _dumped(value: Mapping[str, Any], depth: int) -> str:
    """Return an object as JSON. No string of JSON contains a line break, so each line gets the indent of `depth`."""
    return json.dumps(value, ensure_ascii=False, indent=INDENT).replace("\n", "\n" + " " * INDENT * depth)


def read_feature(key: str, value: Any) -> Any:
    """Return the fields of an exported feature from an entry of the list `key`."""
    names = {written: name for name, written in PRD_KEYS.items()} if key == "userStories" else {}
    return {names.get(name, name): one for name, one in value.items()} if isinstance(value, dict) else value
