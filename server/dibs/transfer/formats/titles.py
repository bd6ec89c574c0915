"""A feature's name, description and category: each from its own field, from a spare one, or from another."""

from __future__ import annotations

import re
from typing import Final

from dibs.transfer.formats.backlog import CATEGORY_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, Report, within
from dibs.transfer.formats.fields import Cell, Row, one_line, text
from dibs.transfer.formats.vocabulary import (
    CATEGORIES,
    DESCRIPTIONS,
    DETAILS,
    NAMES,
    SPARE_CATEGORIES,
    SPARE_NAMES,
)
from dibs_schema.refusals import InvalidInput

DEFAULT_CATEGORY: Final = "general"

_MARKUP = re.compile(r"^[\s#>*-]+")
_SENTENCE = re.compile(r".{15,}?[.!?\u3002\uff01\uff1f](?=\s|$)")


def name_and_description(row: Row, reference: str, report: Report) -> tuple[str, str]:
    """Return both, one made from the other where the file has only that, or from the id."""
    name = row.take("name", NAMES, lambda cell: _fitting(cell, NAME_LENGTH))
    name = name or row.take("name", SPARE_NAMES, lambda cell: _spare(cell, NAME_LENGTH))
    description = row.take("description", DESCRIPTIONS, _long)
    details = row.take("description", DETAILS, _long)
    if not name and not description and not details:
        name = row.take("name", ("feature",), lambda cell: _spare(cell, NAME_LENGTH))
    if row.empty:
        raise InvalidInput(f"{row.path} is empty; a feature has at least a name.", field=row.path)
    if details:
        both = f"{description}\n\n{details}" if description else details
        description = within(both, DESCRIPTION_LENGTH, f"{row.path}.{DETAILS[0]}")
    if not name:
        name = headline(description) if description else reference
        report.mapped("description's first sentence" if description else "id", "name")
    if not description:
        report.mapped("name", "description")
    return name, description or name


def headline(description: str) -> str:
    """Return the first line or sentence of a text, cut between words to a name's length."""
    lines = (_MARKUP.sub("", line).strip() for line in description.split("\n"))
    line = " ".join(next((line for line in lines if line), description).split())
    sentence = _SENTENCE.match(line)
    head = (sentence.group() if sentence else line).rstrip(".") or line
    if len(head) <= NAME_LENGTH:
        return head
    cut = head[: NAME_LENGTH - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def category(row: Row, group: str | None, report: Report) -> str:
    """Return the row's category, the name of the group around it, or `general`."""
    found = row.take("category", CATEGORIES, lambda cell: _fitting(cell, CATEGORY_LENGTH))
    found = found or row.take("category", SPARE_CATEGORIES, lambda cell: _spare(cell, CATEGORY_LENGTH))
    if found:
        return found
    around = one_line(group)
    if around and len(around) <= CATEGORY_LENGTH:
        report.mapped("the group around it", "category")
        return around
    report.mapped("no category", f"'{DEFAULT_CATEGORY}'")
    return DEFAULT_CATEGORY


def _long(cell: Cell) -> str | None:
    found = text(cell.value)
    return within(found, DESCRIPTION_LENGTH, cell.path) if found else None


def _fitting(cell: Cell, limit: int) -> str | None:
    found = one_line(cell.value)
    return within(found, limit, cell.path) if found else None


def _spare(cell: Cell, limit: int) -> str | None:
    """A text that stands in for a missing field, if it fits there."""
    found = one_line(cell.value)
    return found if found and len(found) <= limit else None
