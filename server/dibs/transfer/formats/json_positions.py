"""Parses JSON together with the positions of its values, so that one value can be replaced and the rest kept."""

from __future__ import annotations

import json
import re
from typing import Any

from dibs.transfer.formats.json_text import Lines, parse

_TOKEN = re.compile(r'[ \t\n\r]*("(?:[^"\\]++|\\.)*+"|[{}\[\]:,]|[^ \t\n\r{}\[\]:,"]++)', re.DOTALL)


class Located(dict[str, Any]):
    """An object of a JSON text. `spans` has the start and the end of each member's value; of equal keys the last counts.

    A reader may add fields to an object; `origin` of the result is the object in the document.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.spans: dict[str, tuple[int, int]] = {}
        self.origin: Located = self

    def __or__(self, other: dict[str, Any]) -> Located:  # type: ignore[override]  # it keeps the positions
        merged = Located({**self, **other})
        merged.spans, merged.origin = self.spans, self.origin
        return merged


def parse_located(text: str) -> Any:
    """Return what `json_text.parse` returns for this text, which it must accept, with each object as `Located`."""
    documents: list[Any] = []
    lines: list[int] = []
    counted = 0
    around: list[tuple[Any, int]] = []
    key: str | None = None
    keys: list[str | None] = []
    for token in _TOKEN.finditer(text):
        word, start = token[1], token.start(1)
        if word in ",:":
            continue
        if word in "{[":
            around.append((Located() if word == "{" else [], start))
            keys.append(key)
            key = None
            continue
        if word in "}]":
            value, start = around.pop()
            key = keys.pop()
        elif word[0] == '"':
            value = json.loads(word)
            if around and key is None and isinstance(around[-1][0], Located):
                key = value
                continue
        else:
            value = parse(word)
        if not around:
            documents.append(value)
            lines.append((lines[-1] if lines else 1) + text.count("\n", counted, start))
            counted = start
        elif isinstance(around[-1][0], Located):
            assert key is not None, "a value follows its key"
            around[-1][0][key] = value
            around[-1][0].spans[key] = (start, token.end())
            key = None
        else:
            around[-1][0].append(value)
    return documents[0] if len(documents) == 1 else Lines(zip(lines, documents, strict=True))
