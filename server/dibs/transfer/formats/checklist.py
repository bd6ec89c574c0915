"""The grammar of Markdown checklists: list items with a box, the headings above them, and the text below them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from dibs_schema.refusals import InvalidInput

MOST_NESTING: Final = 60
"""Levels of Markdown blocks, two for each list in a list. What is nested deeper is refused."""
RULES: Final = ("fence", "heading", "hr", "html_block", "lheading", "list", "paragraph")
"""Blocks that matter here. Without indented code, an item is an item however far it is indented."""

MARKS: Final = " xX-~/>!?✓✔✅"
_BOX: Final = re.compile(rf"\[([{re.escape(MARKS)}]?)\](?:\\?\*)?[ \t]*(?:\n|$|(?<=[ \t]))")
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)


@dataclass(slots=True)
class Item:
    """A list item with a box, on `line`, counted from 1.

    `mark` is the character in the box. `headings` are the texts of the headings above, the outermost first, without the
    title of the whole file; a list item without a box counts as the heading of those below it. `bullets` are the list
    items without a box below it, `paragraphs` its other text, and `children` the items below it.
    """

    line: int
    mark: str
    text: str
    headings: tuple[str, ...]
    bullets: list[str] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    children: list[Item] = field(default_factory=list)

    def walk(self) -> Iterator[Item]:
        """Yield the item, and those below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(slots=True)
class _Open:
    """A list item that has begun: with a box once its first text is read, or a bullet."""

    item: Item | None = None
    bullet: str | None = None


def has_boxes(text: str) -> bool:
    """Return whether a line of the text is a list item with a box."""
    return (
        re.search(rf"^[ \t]*(?:[-*+]|\d{{1,9}}[.)])[ \t]+\[[{re.escape(MARKS)}]?\][ \t*\\]", text, re.MULTILINE)
        is not None
    )


def parse_checklist(text: str) -> list[Item]:
    """Return the outermost items with a box. Raises InvalidInput if the text is nested too deeply."""
    front = _FRONT_MATTER.match(text)
    skipped = front.end() if front else 0
    first = text.count("\n", 0, skipped) + 1
    markdown = (
        MarkdownIt("zero", {"maxNesting": MOST_NESTING, "html": True}).enable(RULES).disable(["inline", "text_join"])
    )
    return _Items(first).read(markdown.parse(text[skipped:]))


class _Items:
    """Builds the items of the blocks of a text."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._found: list[Item] = []
        self._headings: list[tuple[int, str]] = []
        self._open: list[_Open] = []

    def read(self, blocks: Sequence[Token]) -> list[Item]:
        """Return the outermost items."""
        heading = 0
        tags = [block.tag for block in blocks if block.type == "heading_open"]
        has_title = tags.count("h1") == 1 and len(tags) > 1
        for block in blocks:
            if block.level >= MOST_NESTING - 1:
                line = (block.map or [0])[0] + self._first
                raise InvalidInput(f"line {line} is nested too deeply for a checklist.", line=line)
            if block.type == "heading_open":
                heading = int(block.tag[1:])
            elif block.type == "heading_close":
                heading = 0
            elif block.type == "list_item_open":
                self._open.append(_Open())
            elif block.type == "list_item_close":
                self._open.pop()
            elif block.type == "inline" and heading:
                self._headings = [one for one in self._headings if one[0] < heading]
                if not (has_title and heading == 1):
                    self._headings.append((heading, plain(block.content)))
            elif block.type in ("inline", "fence") and self._open:
                self._add(block)
        return self._found

    def _add(self, block: Token) -> None:
        """Add a text to the list item around it."""
        here = self._open[-1]
        above = next((one.item for one in reversed(self._open) if one.item is not None), None)
        if here.item is None and here.bullet is None:
            if box := _BOX.match(block.content):
                here.item = self._begin(block, box)
                (above.children if above else self._found).append(here.item)
                return
            here.bullet = plain(block.content)
            if above is not None:
                above.bullets.append(block.content)
        elif above is not None:
            above.paragraphs.append(block.content.rstrip("\n"))

    def _begin(self, block: Token, box: re.Match[str]) -> Item:
        groups = [one.bullet for one in self._open if one.bullet is not None]
        headings = (*(text for _, text in self._headings), *groups)
        text = block.content[box.end() :].strip()
        line = (block.map or [0])[0] + self._first
        return Item(line, box[1] or " ", text, headings)


def plain(text: str) -> str:
    """Return a text on one line, without the marks of emphasis around it and a colon at its end."""
    return " ".join(text.split()).strip("*_ ").removesuffix(":").strip("*_ ")
