"""Exports as a Markdown checklist. Each item ends with a comment, which holds what is not shown as text.

Lines of texts are indented below their item. In these lines, a backslash precedes a leading `- `, which would begin a
step, and `<!--`, so that no agent's text can hide what follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dibs.transfer.formats.exported import FIELDS, MARK, ExportedFeature, Header
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

_SHOWN: Final = {"name", "category", "description", "steps", "passes"}
_ITEM: Final = re.compile(r"[-*+] \[([ xX])\] (.*)")
_COMMENT: Final = re.compile(r"  <!-- (\{.*\}) -->\s*")
_OPENED: Final = re.compile(r"(\\*)<!--")
_DASH: Final = re.compile(r"\\*- ")


def write_checklist(header: Header, features: Iterable[ExportedFeature]) -> Iterator[str]:
    """Yield the text of a checklist, with a heading wherever the category changes."""
    yield f"<!-- {MARK} {json.dumps(header.mark)} -->\n\n# {header.project}\n"
    category = None
    for feature in features:
        if feature["category"] != category:
            category = feature["category"]
            yield f"\n## {_on_one_line(category)}\n\n"
        yield _item(feature)


def _item(feature: ExportedFeature) -> str:
    hidden = {name: feature[name] for name in FIELDS if name in feature and name not in _SHOWN}
    if hidden["status"] in (Status.PENDING, Status.PASSING):
        del hidden["status"]
    hidden |= {name: feature[name] for name in ("name", "category") if "\n" in feature[name]}
    lines = [f"- [{'x' if feature['passes'] else ' '}] {_on_one_line(feature['name'])}"]
    if feature["description"] != feature["name"]:
        lines += _indented(feature["description"], "  ")
    for step in feature["steps"]:
        first, *others = _indented(step, "    ")
        lines += [f"  - {first.removeprefix('    ')}", *others]
    comment = json.dumps(hidden, ensure_ascii=False).replace(">", "\\u003e")
    return "\n".join([*lines, f"  <!-- {comment} -->", ""])


def _on_one_line(text: str) -> str:
    return _escaped(" ".join(text.split("\n")))


def _indented(text: str, indent: str) -> list[str]:
    return [indent + _escaped(line) if line else line for line in text.split("\n")]


def _escaped(line: str) -> str:
    line = _OPENED.sub(r"\\\1<!--", line)
    return "\\" + line if _DASH.match(line) else line


def _unescaped(line: str) -> str:
    line = line[1:] if line.startswith("\\") and _DASH.match(line) else line
    return _OPENED.sub(lambda found: found[1][1:] + "<!--", line)


class _Item:
    """An item that is being read: its fields, and the lines of its texts."""

    def __init__(self, path: str, mark: str, name: str, category: str | None) -> None:
        self.path = path
        self._fields: dict[str, Any] = {"passes": mark != " ", "name": _unescaped(name), "category": category}
        self._texts: list[list[str]] = [[]]

    def add(self, line: str) -> None:
        """Add a line below the item. Raises InvalidInput if a comment is not JSON."""
        if comment := _COMMENT.fullmatch(line):
            try:
                self._fields |= json.loads(comment[1])
            except ValueError as error:
                raise InvalidInput(f"the comment of the item at {self.path} is not JSON.", field=self.path) from error
        elif line.startswith("  - "):
            self._texts.append([line[4:]])
        else:
            indent = 2 if len(self._texts) == 1 else 4
            self._texts[-1].append(line[indent:] if not line[:indent].strip() else line.lstrip())

    def fields(self) -> dict[str, Any]:
        """Return the fields of an exported feature."""
        description, *steps = ("\n".join(map(_unescaped, lines)).strip("\n") for lines in self._texts)
        return {"description": description or None, "steps": steps} | self._fields


def read_checklist(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the fields of each item. Raises InvalidInput."""
    item: _Item | None = None
    category = None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        begins = _ITEM.fullmatch(line)
        if begins or line.startswith("#"):
            if item is not None:
                yield item.path, item.fields()
            item = _Item(f"line {number}", begins[1], begins[2], category) if begins else None
            category = _unescaped(line[3:]) if line.startswith("## ") else category
        elif item is not None:
            item.add(line)
    if item is not None:
        yield item.path, item.fields()
