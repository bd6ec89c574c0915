"""What a feature asked of a person, and the answer, in the shape that Dibs keeps."""

from __future__ import annotations

import re
from typing import Any

from dibs.transfer.formats.backlog import DESCRIPTION_LENGTH, Report, within
from dibs.transfer.formats.fields import Cell, one_line, shown, text, truth
from dibs_schema.refusals import InvalidInput

TYPES = ("text", "textarea", "select", "boolean")
LABEL_LENGTH = 200
FIELDS = 10
OPTIONS = 20

_ID = re.compile(r"[^A-Za-z0-9_.-]+")


def unasked(name: str) -> dict[str, Any]:
    """The request of a feature that waits for a person without saying for what."""
    prompt = f"The imported backlog says that this feature waits for a person: {name}"
    return {
        "prompt": prompt,
        "fields": [{"id": "answer", "label": "Answer", "type": "textarea", "required": True}],
    }


def request(cell: Cell, report: Report) -> dict[str, Any] | None:
    """Return `{"prompt", "fields": [{"id", "label", "type", "required", "options"?}]}`, or None."""
    asked = cell.value if isinstance(cell.value, dict) else {"prompt": cell.value}
    prompt = text(asked.get("prompt"))
    if prompt is None:
        return None
    listed = asked.get("fields")
    fields = [
        _field(item, f"{cell.path}.fields[{index}]", report)
        for index, item in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    if len(fields) > FIELDS:
        path = f"{cell.path}.fields"
        raise InvalidInput(f"{path} has {len(fields)} fields and may have {FIELDS}; remove some.", field=path)
    kept = {field["id"]: field for field in fields} or {field["id"]: field for field in unasked("")["fields"]}
    return {
        "prompt": within(prompt, DESCRIPTION_LENGTH, f"{cell.path}.prompt"),
        "fields": list(kept.values()),
    }


def _field(item: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    name = _key(one_line(item.get("id")) or one_line(item.get("label")) or "answer")
    label = within(one_line(item.get("label")) or name, LABEL_LENGTH, f"{path}.label")
    kind = item.get("type") if item.get("type") in TYPES else "text"
    required = truth(item.get("required")) is not False
    options = _options(item.get("options"), path) if kind == "select" else []
    if kind == "select" and not 1 <= len(options) <= OPTIONS:
        report.ignored(f"the {len(options)} options of a question to a person: it became a text field")
        kind, options = "text", []
    field = {"id": name, "label": label, "type": kind, "required": required}
    return field | {"options": options} if options else field


def _options(listed: Any, path: str) -> list[str]:
    found: dict[str, None] = {}
    for index, option in enumerate(listed if isinstance(listed, list) else []):
        held = (option.get("label") or option.get("value")) if isinstance(option, dict) else option
        if label := one_line(held):
            found[within(label, LABEL_LENGTH, f"{path}.options[{index}]")] = None
    return list(found)


def answer(cell: Cell) -> dict[str, Any] | None:
    """Return the answers by field id, or None if there are none."""
    given = cell.value
    if isinstance(given, dict):
        given = given.get("fields", given)
    if not isinstance(given, dict):
        given = {"answer": given}
    answers = {_key(shown(key)): _value(value) for key, value in given.items()}
    return {key: value for key, value in answers.items() if value is not None} or None


def _key(name: str) -> str:
    return _ID.sub("_", name)[:64] or "answer"


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [found for item in value if (found := text(item))]
    return text(value)
