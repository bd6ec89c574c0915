"""A feature's request to a person, and the answer, in the form that Dibs stores."""

from __future__ import annotations

import re
from typing import Any

from dibs.transfer.formats.backlog import DESCRIPTION_LENGTH, Report, within
from dibs.transfer.formats.fields import SourceField, one_line, shown, text, truth
from dibs_schema.refusals import InvalidInput

LABEL_LENGTH = 200
MAX_FIELDS = 10

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.-]+")


def default_request(name: str) -> dict[str, Any]:
    """Return the request for a feature that waits for a person, if the file does not have the request."""
    return {
        "prompt": f"The imported backlog says that this feature waits for a person: {name}",
        "fields": [{"id": "answer", "label": "Answer", "type": "textarea", "required": True}],
    }


def read_request(field: SourceField, report: Report) -> dict[str, Any] | None:
    """Return `{"prompt", "fields": [{"id", "label", "type", "required", "options"?}]}`, or None without a prompt."""
    asked = field.value if isinstance(field.value, dict) else {"prompt": field.value}
    prompt = text(asked.get("prompt"))
    if prompt is None:
        return None
    listed = asked.get("fields")
    fields = [
        _request_field(item, f"{field.path}.fields[{index}]", report)
        for index, item in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    if len(fields) > MAX_FIELDS:
        path = f"{field.path}.fields"
        raise InvalidInput(f"{path} has {len(fields)} fields; the limit is {MAX_FIELDS}.", field=path)
    by_id = {one["id"]: one for one in fields or default_request("")["fields"]}
    return {"prompt": within(prompt, DESCRIPTION_LENGTH, f"{field.path}.prompt"), "fields": list(by_id.values())}


def _request_field(item: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    name = _field_id(one_line(item.get("id")) or one_line(item.get("label")) or "answer")
    label = within(one_line(item.get("label")) or name, LABEL_LENGTH, f"{path}.label")
    kind = item.get("type") if item.get("type") in ("text", "textarea", "select", "boolean") else "text"
    options = _options(item.get("options"), path) if kind == "select" else []
    if kind == "select" and not 1 <= len(options) <= 20:
        report.ignored(f"the {len(options)} options of a question to a person: it became a text field")
        kind, options = "text", []
    required = truth(item.get("required")) is not False
    found = {"id": name, "label": label, "type": kind, "required": required}
    return found | {"options": options} if options else found


def _options(listed: Any, path: str) -> list[str]:
    found: dict[str, None] = {}
    for index, option in enumerate(listed if isinstance(listed, list) else []):
        value = (option.get("label") or option.get("value")) if isinstance(option, dict) else option
        if label := one_line(value):
            found[within(label, LABEL_LENGTH, f"{path}.options[{index}]")] = None
    return list(found)


def read_answer(field: SourceField) -> dict[str, Any] | None:
    """Return the answers by field id, or None if there are none."""
    given = field.value
    if isinstance(given, dict):
        given = given.get("fields", given)
    if not isinstance(given, dict):
        given = {"answer": given}
    answers = {_field_id(shown(key)): _answer(value) for key, value in given.items()}
    return {key: value for key, value in answers.items() if value is not None} or None


def _field_id(name: str) -> str:
    return _NOT_IN_ID.sub("_", name)[:64] or "answer"


def _answer(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [found for item in value if (found := text(item))]
    return text(value)
