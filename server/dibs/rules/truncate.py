"""Truncate texts to the room in an answer, in bytes of JSON as clients receive it."""

from __future__ import annotations

import json
from typing import Any


def json_bytes(value: Any) -> int:
    """Return the number of bytes of a JSON value, compact and in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def truncate(words: str | None, room: int) -> str | None:
    """Return the start of a text in at most `room` bytes, with … if it is truncated, or None without a text."""
    if not words:
        return None
    if len(words) <= room and json_bytes(words) - 2 <= room:
        return words
    low, high = 0, min(len(words), room)
    while low < high:  # find the longest start that leaves three bytes for …
        middle = (low + high + 1) // 2
        low, high = (middle, high) if json_bytes(words[:middle]) - 2 <= room - 3 else (low, middle - 1)
    return words[:low] + "…"


def first_line(words: str | None, room: int) -> str | None:
    """Return the first line of a text, truncated to `room` bytes."""
    return truncate(words.partition("\n")[0], room) if words else None


def truncate_json(value: Any, room: int) -> Any:
    """Return a JSON value with its texts truncated so that it takes at most about `room` bytes."""
    if isinstance(value, str):
        return truncate(value, max(room, 8)) or ""
    if isinstance(value, list):
        items = value[: max(1, room // 16)]
        return [truncate_json(one, room // max(1, len(items)) - 4) for one in items]
    if isinstance(value, dict):
        names = list(value)[: max(1, room // 24)]
        each = (room - sum(json_bytes(name) + 2 for name in names)) // max(1, len(names))
        return {name: truncate_json(value[name], each) for name in names}
    return value


def cut_text(
    description: str, steps: list[str], cursor: str | None, room: int
) -> tuple[str | None, list[str], str | None]:
    """Return a part of a feature's text of at most `room` characters of JSON, and the cursor of the rest.

    A cursor is `step:offset`; the description is step -1.
    """
    parts = [description, *steps]
    at, offset = (int(number) for number in cursor.split(":")) if cursor else (-1, 0)
    shown: list[str] = []
    index = at + 1
    while index < len(parts):
        piece = fitting(parts[index][offset:], room)
        shown.append(piece)
        room -= json_length(piece)
        offset += len(piece)
        if offset < len(parts[index]):
            break
        index, offset = index + 1, 0
        if room <= 0:
            break
    following = f"{index - 1}:{offset}" if index < len(parts) else None
    return (shown[0], shown[1:], following) if at == -1 else (None, shown, following)


def fitting(words: str, room: int) -> str:
    """Return the start of a text in at most `room` characters of JSON, but at least one character."""
    most = max(room, 1)
    piece = words[:most]
    while len(piece) > 1 and json_length(piece) > most:
        piece = piece[: max(1, len(piece) * most // json_length(piece) - 1)]
    return piece


def json_length(value: Any) -> int:
    """Return the number of characters of a JSON value."""
    return len(json.dumps(value, ensure_ascii=False))
