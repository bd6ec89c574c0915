"""The front matter of Markdown files, and files of settings: the part of YAML that tools write there.

One key a line at the left margin, with a string, a list of strings, or a block of text; a mapping below a key is a block of
text. Anchors, aliases and tags are refused: nothing in a file can be larger in memory than in the file, and no library for
the whole of YAML is needed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dibs_schema.refusals import InvalidInput

_KEY: Final = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*))?$")
_BLOCK: Final = re.compile(r"([|>])[-+]?\d?$")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\", "/": "/", " ": " "}
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_FLOW: Final = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]"'][^,\[\]]*)[ \t]*(,|$)""")


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the front matter and the body of a Markdown text. Raises InvalidInput."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return {}, text
    end = next((place for place, line in enumerate(lines[1:], start=1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        raise InvalidInput("its front matter has no end; write --- after it.", line=1)
    return parse_settings(lines[1:end], first=2), "\n".join(lines[end + 1 :])


def parse_settings(lines: list[str], first: int = 1) -> dict[str, Any]:
    """Return the keys and values of lines, of which the first has the number `first`. Raises InvalidInput."""
    found: dict[str, Any] = {}
    place = 0
    while place < len(lines):
        line, number = lines[place].rstrip(), first + place
        place += 1
        if not line or line.lstrip().startswith("#"):
            continue
        key = _KEY.match(line)
        if key is None:
            raise _unreadable(number)
        below = place
        while below < len(lines) and (not lines[below].strip() or lines[below][0] in " \t-"):
            below += 1
        found[key[1]] = _value((key[2] or "").strip(), lines[place:below], number)
        place = below
    return found


def _value(value: str, below: list[str], number: int) -> Any:
    """Return the value after a key, to which the lines below belong."""
    if block := _BLOCK.match(value):
        lines = [line.strip() for line in below]
        return "\n".join(lines).strip() if block[1] == "|" else _folded(lines)
    items = [line.strip() for line in below if line.strip() and not line.lstrip().startswith("#")]
    if value:
        return _scalar(_folded([value, *items]), number)
    if not all(item == "-" or item.startswith("- ") for item in items):
        return "\n".join(items)
    return [_scalar(item[1:].strip(), number) for item in items]


def _folded(lines: list[str]) -> str:
    """Join the lines of a text: a single line break is a space, an empty line is a line break."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", "\n".join(lines).strip()).replace("\n\n", "\n")


def _scalar(value: str, number: int) -> Any:
    """Return a quoted or plain string, or a list in brackets of such strings; null and an empty value are None."""
    if value.startswith("["):
        return _flow(value, number)
    if value[:1] in ("&", "*", "!"):
        raise _unreadable(number)
    if value.startswith('"'):
        if not re.fullmatch(r'"(?:[^"\\]|\\.)*"', value, re.DOTALL):
            raise _unreadable(number)
        return _ESCAPE.sub(_unescaped, value[1:-1])
    if value.startswith("'"):
        if not re.fullmatch(r"'(?:[^']|'')*'", value, re.DOTALL):
            raise _unreadable(number)
        return value[1:-1].replace("''", "'")
    plain = re.sub(r"(?:^|[ \t])#.*", "", value).strip()
    return None if plain in ("", "null", "~") else plain


def _flow(value: str, number: int) -> list[Any]:
    inner = value[1:-1].strip()
    if not value.endswith("]"):
        raise _unreadable(number)
    found, place = [], 0
    while place < len(inner):
        item = _FLOW.match(inner, place)
        if item is None:
            raise _unreadable(number)
        found.append(_scalar(item[1].strip(), number))
        place = item.end()
    return found


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    return chr(min(int(code, 16), 0x10FFFF)) if code else _ESCAPES.get(found[4], found[4])


def _unreadable(number: int) -> InvalidInput:
    return InvalidInput(
        f"line {number} of its front matter is more of YAML than is read here: write a key with a text or a list.",
        line=number,
    )
