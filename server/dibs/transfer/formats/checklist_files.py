"""Markdown checklists: the tasks of spec-kit, Kiro and OpenSpec, and plain lists such as TODO.md."""

from __future__ import annotations

import re
from dataclasses import replace

from dibs.transfer.formats.assemble import assemble
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.checklist import Item, has_boxes, parse_checklist
from dibs.transfer.formats.dialects import DIALECTS, MARKS, PLAIN, Dialect
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.fields import one_line
from dibs.transfer.formats.fields import text as text_of
from dibs.transfer.formats.paths import quoted_paths
from dibs.transfer.formats.phases import Step, in_order
from dibs.transfer.formats.records import add_text
from dibs.transfer.formats.vocabulary import PRIORITY_WORDS
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status

MOST_BYTES = 2_000_000
"""Parsed Markdown takes up to some hundred times its size in memory. 20,000 tasks have about 1 MB."""
LAST = 100
"""More than a number has parts: a parent comes after the last task below it, and its own parent after that."""

_TAG = re.compile(r"\[(P|US\d{1,4})\]\s*")
_PRIORITY = re.compile(r"\s*\(Priority:\s*(P[0-4])\)", re.IGNORECASE)
_DEPENDS = re.compile(r"\bdepends on:? ([^)\n]*)", re.IGNORECASE)
_REMARK = re.compile(r"_([^_:]+):\s*(.+)_|\*\*([^*:]+):\s*([^*]+)\*\*", re.DOTALL)


def recognizes(file: SourceFile) -> bool:
    """Check for the name of a Markdown file, or for a list item with a box."""
    if file.path.suffix.lower() in (".md", ".markdown"):
        return True
    start = file.content[:1_000].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start not in (b"{", b"[") and has_boxes(file.content.decode("utf-8", "replace"))


def read(file: SourceFile) -> Backlog:
    """Return the items with a box, in the order of the file. Raises InvalidInput."""
    if len(file.content) > MOST_BYTES:
        raise InvalidInput(
            f"it is larger than {MOST_BYTES // 1_000_000} MB, which is too large for a checklist; split it."
        )
    text = file.text().replace("\r\n", "\n")
    path = file.path.resolve()
    placed = next((one for one in DIALECTS if one.path and one.path.search(path.as_posix())), None)
    dialect = placed or next((one for one in DIALECTS if one.content and one.content.search(text)), PLAIN)
    items = parse_checklist(text)
    if not items:
        raise InvalidInput("it has no list items with a box, such as `- [ ] Sign in`, so there is nothing to import.")
    report = Report()
    reader = _Reader(dialect, report)
    for item in items:
        reader.add(item)
    reader.put_in_order()
    options = replace(file.options, drop_unknown=True)
    return assemble(dialect.name, reader.entries, report, options, source=path.parent.name if placed else None)


class _Reader:
    """Makes entries of items, in the order of the file."""

    def __init__(self, dialect: Dialect, report: Report) -> None:
        self.entries: list[Entry] = []
        self._dialect = dialect
        self._report = report
        self._marks = {**MARKS, **dialect.marks}
        self._numbers: set[str] = set()
        self._phases: dict[object, int] = {}
        self._parents: set[int] = set()
        self._steps: list[Step] = []

    def add(self, item: Item, above: str | None = None) -> None:
        """Add the item and the items below it, in a plain checklist as its steps. `above` is the text of its parent."""
        number, tags, text = self._split(item)
        if not text:
            self._report.ignored("a box without a text")
            return
        entry = self._entry(item, text)
        self.entries.append(entry)
        if self._dialect.number is None:
            self._nested(item, entry)
            return
        self._set_reference(entry, number)
        entry.category = above or next((tag for tag in tags if tag != "P"), entry.category)
        entry.phase = self._phase(number, item)
        place = len(self.entries) - 1
        for child in item.children:
            self.add(child, text)
        if item.children:
            self._parents.add(place)
        self._steps.append(Step(place, entry, parallel="P" in tags))

    def put_in_order(self) -> None:
        """Make tasks sequential: phase by phase, within a phase the tasks without `[P]`, and parents at the end.

        Where a file marks no task with `[P]`, it does not say that tasks of one phase depend on each other.
        """
        marked = any(step.parallel for step in self._steps)
        places = {step.entry.reference: step.place for step in self._steps if step.entry.reference}
        order = {step.place: (position, 0) for position, step in enumerate(self._steps)}
        for step in self._steps:
            parents = [parent for one in _above(step.entry.reference or "") if (parent := places.get(one)) is not None]
            for parent in parents:
                self._parents.add(parent)
                depth = (self.entries[parent].reference or "").count(".")
                order[parent] = max(order[parent], (order[step.place][0], LAST - depth))
            if parents:
                step.entry.category = self.entries[parents[0]].name
        self._steps.sort(key=lambda step: order[step.place])
        self._leave_out_later_ones()
        in_order(
            [
                Step(step.place, step.entry, step.parallel if marked else step.place not in self._parents)
                for step in self._steps
            ]
        )

    def _leave_out_later_ones(self) -> None:
        """Leave out dependencies named in texts that contradict the order of the tasks: they would form a cycle."""
        seen: set[str | int | None] = set()
        for step in self._steps:
            later = [
                one for one in step.entry.dependencies if one.reference in self._numbers and one.reference not in seen
            ]
            for one in later:
                step.entry.dependencies.remove(one)
                self._report.ignored(f"the dependency of {step.entry.reference} on {one.reference}, which comes later")
            seen.add(step.entry.reference)

    def _phase(self, number: str | None, item: Item) -> int:
        """Return the rank of the phase, by the first part of the number or by the heading."""
        key: object = item.headings[:1]
        if self._dialect.dotted:
            key = number.partition(".")[0] if number else next(reversed(self._phases), None)
        return self._phases.setdefault(key, len(self._phases) + 1)

    def _split(self, item: Item) -> tuple[str | None, list[str], str]:
        """Return the number, the tags, and the text of an item."""
        text, number, tags = item.text, None, []
        if self._dialect.number and (found := self._dialect.number.match(text)):
            number, text = found[1], text[found.end() :]
        while self._dialect.number and (tag := _TAG.match(text)):
            tags.append(tag[1])
            text = text[tag.end() :]
        return number, tags, one_line(text) or ""

    def _entry(self, item: Item, text: str) -> Entry:
        """Return the entry of an item, without its number and the fields that depend on the number."""
        entry = Entry(path=f"line {item.line}", name=text, status=self._marks[item.mark])
        if entry.status is Status.ARCHIVED:
            entry.archived_from = Status.PENDING
        self._report.mapped(f"box '[{item.mark}]'", entry.status)
        if item.headings:
            heading = item.headings[-1]
            if priority := next(filter(None, map(_PRIORITY.search, item.headings)), None):
                entry.priority = PRIORITY_WORDS[priority[1].lower()]
                self._report.mapped("(Priority: P…) of a heading", "priority")
            entry.category = _PRIORITY.sub("", heading)
            self._report.mapped("heading", "category")
        for bullet in item.bullets:
            if remark := _REMARK.fullmatch(bullet.strip()):
                title, found = (part for part in remark.groups() if part)
                add_text(entry, clean(title), found, self._report)
            elif step := text_of(bullet):
                entry.steps.append(step)
                self._report.mapped("list item without a box", "steps")
        if item.paragraphs:
            entry.description = clean("\n\n".join([text, *item.paragraphs]))
            self._report.mapped("paragraph", "description")
        if paths := quoted_paths([text, *item.bullets], self._report):
            entry.paths = paths
            self._report.mapped("path in back quotes", "paths")
        return entry

    def _nested(self, item: Item, entry: Entry) -> None:
        for below in (one for child in item.children for one in child.walk()):
            if step := one_line(below.text):
                entry.steps.append(step)
                self._report.mapped("nested item", "steps")

    def _set_reference(self, entry: Entry, number: str | None) -> None:
        """Set the entry's reference, and the dependencies that its text names."""
        if number in self._numbers:
            self._report.ignored(f"the number {number}, which an earlier task has")
        elif number is not None:
            self._numbers.add(number)
            entry.reference = number
            self._report.mapped("number", "reference")
        for named in _DEPENDS.findall(entry.name or ""):
            for one in self._dialect.numbers_in(named):
                entry.dependencies.append(Dependency(one, entry.path))
                self._report.mapped("depends on …", "dependencies")


def _above(number: str) -> list[str]:
    """Return the ancestors of a number, the nearest first: 2.1 and 2 for 2.1.3."""
    parts = number.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
