"""A feature's steps: lists of texts or objects, or one text, from every field that says how to verify it."""

from __future__ import annotations

import re
from typing import Any

from dibs.transfer.formats.backlog import STEP_COUNT, STEP_LENGTH, Report, within
from dibs.transfer.formats.fields import Cell, Row, shown, text
from dibs.transfer.formats.vocabulary import STEP_PARTS, STEP_TEXTS, STEP_TITLES, STEPS, snake
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

_FIELDS = {*STEP_TITLES, *STEP_TEXTS, *(name for name, _ in STEP_PARTS)}
_BULLET = re.compile(r"^\s*(?:(?:[-*•]|\d{1,3}[.)])\s+)?(?:\[[ xX]?\]\s*)?")


def steps(row: Row, report: Report) -> list[str]:
    """Return the steps of all such fields in their order, without repeating one that an earlier field has."""
    found: list[str] = []
    for batch in row.take_all("steps", STEPS, lambda cell: _of_cell(cell, report)):
        earlier = set(found)
        found.extend(step for step in batch if step not in earlier)
    if len(found) > STEP_COUNT:
        path = f"{row.path}.steps"
        raise InvalidInput(
            f"{path}: {len(found)} steps, and a feature may have {STEP_COUNT}; split the feature.", field=path
        )
    return found


def _of_cell(cell: Cell, report: Report) -> list[str] | None:
    if isinstance(cell.value, list):
        return [
            within(step, STEP_LENGTH, f"{cell.path}[{index}]")
            for index, item in enumerate(cell.value)
            if (step := _step(item, cell.name, report))
        ]
    if isinstance(cell.value, str):
        lines = (_BULLET.sub("", line).strip() for line in clean(cell.value).split("\n"))
        return [within(line, STEP_LENGTH, cell.path) for line in lines if line]
    return None


def _step(item: Any, field: str, report: Report) -> str | None:
    if not isinstance(item, dict):
        step = text(item)
        if step is None and item not in (None, "", [], {}):
            report.ignored(f"an entry of {field} without text")
        return step
    parts = {snake(key): found for key, value in item.items() if (found := text(value))}
    texts = {name: found for name, found in parts.items() if not found.isdecimal()}
    title, body = (
        next((texts[name] for name in names if name in texts), None) for names in (STEP_TITLES, STEP_TEXTS)
    )
    told = [f"{title}: {body}" if title and body else title or body]
    told += [form.format(parts[name]) for name, form in STEP_PARTS if name in parts]
    for key, value in item.items():
        if snake(key) not in _FIELDS and value not in (None, "", [], {}):
            report.ignored(f"{shown(key)} of an entry of {field}")
    return "; ".join(part for part in told if part) or None
