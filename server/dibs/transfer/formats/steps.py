"""The steps of a feature: how to verify it, from strings, lists and objects."""

from __future__ import annotations

import re
from typing import Any, Final

from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.fields import FeatureFields, SourceField, any_text, shown, text
from dibs.transfer.formats.vocabulary import snake
from dibs_schema.sanitize import clean

_BULLET = re.compile(r"^\s*(?:(?:[-*•]|\d{1,3}[.)])\s+)?(?:\[[ xX]?\]\s*)?")
_STEP_FIELDS: Final = {*words.STEP_TITLES, *words.STEP_TEXTS, *(name for name, _ in words.STEP_PARTS)}


def read_steps(fields: FeatureFields, report: Report) -> list[str]:
    """Return the steps of all fields that describe verification; repetitions in later fields are left out."""
    found: list[str] = []
    for batch in fields.take_all("steps", words.STEPS, lambda field: _steps_of(field, report)):
        earlier = set(found)
        found.extend(step for step in batch if step not in earlier)
    return found


def _steps_of(field: SourceField, report: Report) -> list[str] | None:
    """Return the steps of a field, or None if it has no text."""
    value = field.value
    if isinstance(value, dict) and not any(snake(key) in _STEP_FIELDS for key in value):
        steps = [
            step for name, inner in value.items() for step in _titled(SourceField(name, field.path, inner), report)
        ]
    elif isinstance(value, str):
        lines = (_BULLET.sub("", line).strip() for line in clean(value).split("\n"))
        steps = [line for line in lines if line]
    elif isinstance(value, list | dict):
        items = value if isinstance(value, list) else [value]
        steps = [step for item in items if (step := _step(item, field.name, report))]
    else:
        return None
    return steps or None


def _titled(field: SourceField, report: Report) -> list[str]:
    """Return the steps of one member of an object, such as `unit` or `command`, preceded by its name."""
    name = shown(field.name)
    if isinstance(field.value, list):
        return [f"{name}: {step}" for item in field.value if (step := _step(item, name, report))]
    if field.value is None or isinstance(field.value, bool):
        return []
    found = any_text(field)
    return [f"{name}: {found}"] if found else []


def _step(item: Any, field: str, report: Report) -> str | None:
    if not isinstance(item, dict):
        step = text(item)
        if step is None and item not in (None, "", [], {}):
            report.ignored(f"an entry of {field} without text")
        return step
    values = {snake(key): found for key, value in item.items() if (found := text(value))}
    texts = {name: found for name, found in values.items() if not found.isdecimal()}
    title = next((texts[name] for name in words.STEP_TITLES if name in texts), None)
    body = next((texts[name] for name in words.STEP_TEXTS if name in texts), None)
    parts = [f"{title}: {body}" if title and body else title or body]
    parts += [form.format(values[name]) for name, form in words.STEP_PARTS if name in values]
    for key, value in item.items():
        if snake(key) in _STEP_FIELDS or value in (None, "", [], {}):
            continue
        if snake(key) in texts and snake(key) not in words.STEP_STATES:
            parts.append(f"{shown(key)}: {texts[snake(key)]}")
        else:
            report.ignored(f"{shown(key)} of an entry of {field}")
    return "; ".join(part for part in parts if part) or None
