"""Marks in a Markdown checklist which items are done; only the characters in the boxes change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dibs.transfer.formats.backlog import ImportedFeature, SourceFile
from dibs.transfer.formats.checklist import MARKS
from dibs.transfer.formats.dialects import MARKS as MEANING
from dibs.transfer.formats.state_edits import Edit, State, with_edits
from dibs_schema.status import Status

_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n|$)")
_MARKER: Final = r"(?:[-*+]|\d{1,9}[.)])"
_BOX: Final = re.compile(rf"(?:[\s>]|{_MARKER}[ \t])*?{_MARKER}[ \t]+\[([{re.escape(MARKS)}]?)\]")


def edit(file: SourceFile, features: Sequence[ImportedFeature], states: Sequence[State | None]) -> tuple[str, int]:
    """Return the text with the states, and the number of items that differ from before.

    `features` are what the file's reader returned, with their lines as paths; a feature whose state is None is not
    changed.
    """
    text = file.text()
    starts = [line.start() for line in _LINE.finditer(text)]
    boxes = {}
    for feature in features:
        start = starts[int(feature.path.removeprefix("line ")) - 1]
        if box := _BOX.match(text, start):
            boxes[feature.path] = box
    used = Counter(box[1] for box in boxes.values() if MEANING.get(box[1]) is Status.PASSING)
    done = used.most_common(1)[0][0] if used else "x"
    edits = [
        Edit(*boxes[feature.path].span(1), done if state.passes else " ")
        for feature, state in zip(features, states, strict=True)
        if state is not None and feature.path in boxes and state.passes != (feature.status is Status.PASSING)
    ]
    return with_edits(text, edits), len(edits)
