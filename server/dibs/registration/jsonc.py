"""Edits JSON files that may have comments and trailing commas: sets or removes one value, and keeps every other byte.

The standard library's decoder finds the positions in a copy of the same length, in which comments and trailing commas
are spaces. This editor is our own because no library on PyPI for Python 3.11 with a permissive license edits JSONC in
place: jsoncgx is under the GPL, json-five reads JSON5, and the others lose comments.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from dibs.registration.errors import Unreadable

_COMMENTS = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMAS = re.compile(r'"(?:[^"\\]|\\.)*"|(?<=[^\s\[{,:])(\s*),(?=\s*[}\]])', re.DOTALL)
_SPACE = re.compile(r"\s*")
INDENT = "  "


@dataclass(frozen=True, slots=True)
class _Member:
    """A name and its value, by their positions: `start` of the name, `value` of its value, `end` after it."""

    name: str
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    start: int
    end: int
    members: list[_Member]

    def find(self, name: str) -> _Member | None:
        """Return the member of that name; the last of several, as parsers do."""
        return next((one for one in reversed(self.members) if one.name == name), None)


def parse(text: str) -> dict[str, Any]:
    """Parse the text, which must be an object; an empty text is an empty object. Raises Unreadable."""
    plain = _plain(_bare(text))
    if not plain.strip():
        return {}
    try:
        data = json.loads(plain, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable.at(text, error.pos, error.msg) from None
    except (ValueError, RecursionError) as error:  # a number too long or nesting too deep for Python
        raise Unreadable(str(error)) from None
    if not isinstance(data, dict):
        raise Unreadable("it is not an object")
    return data


def refuse_extras(text: str, reader: str, *, comments: bool, trailing_commas: bool) -> None:
    """Raise Unreadable, with the place, for comments or trailing commas that the client `reader` does not accept.

    With them, the client would ignore the whole file.
    """
    bare = _bare(text)
    plain = _plain(bare)
    if not comments and (at := _first_difference(_unmarked(text), bare)) is not None:
        raise Unreadable.at(text, at, f"{reader} accepts no comments here")
    if not trailing_commas and (at := _first_difference(bare, plain)) is not None:
        raise Unreadable.at(text, at, f"{reader} accepts no comma after the last value")


def _first_difference(one: str, other: str) -> int | None:
    return next((at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), None)


def with_value(text: str, keys: tuple[str, ...], value: Any) -> str:
    """Return the text with `value` at `keys`, in the format of its surroundings. Raises Unreadable."""
    bare = _bare(text)
    plain = _plain(bare)
    if not plain.strip():
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{json.dumps(_nested(keys, value), indent=INDENT, ensure_ascii=False)}\n"
    around = _object(plain, _skip(plain, 0))
    for depth, key in enumerate(keys):
        member = around.find(key)
        if member is None:
            return _inserted(text, bare, around, key, _nested(keys[depth + 1 :], value))
        if depth == len(keys) - 1:
            spread = "\n" in plain[around.start : around.members[0].start]
            return text[: member.value] + _dumped(text, member.start, value, spread=spread) + text[member.end :]
        if plain[member.value] != "{":
            raise Unreadable.at(text, member.value, f'"{key}" is not an object')
        around = _object(plain, member.value)
    raise AssertionError("keys are never empty")


def without(text: str, keys: tuple[str, ...]) -> str:
    """Return the text without the member at `keys`. Raises Unreadable."""
    bare = _bare(text)
    plain = _plain(bare)
    if not plain.strip():
        return text
    around = _object(plain, _skip(plain, 0))
    for key in keys[:-1]:
        member = around.find(key)
        if member is None or plain[member.value] != "{":
            return text
        around = _object(plain, member.value)
    member = around.find(keys[-1])
    return text if member is None else _cut(text, bare, around, member)


def _inserted(text: str, bare: str, around: _Object, name: str, value: Any) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if not around.members:
        if around.start and "\n" not in text[: around.start]:  # the whole file is on one line
            return text[: around.start + 1] + _member(text, 0, name, value, spread=False) + text[around.start + 1 :]
        outer = _line_indent(text, around.start)
        inner = outer + _unit(bare)
        added = newline + inner + _member(text, around.start, name, value, indent=inner)
        rest = text[around.start + 1 :]
        if "\n" not in text[around.start : around.end]:
            rest = newline + outer + rest.lstrip(" \t")
        return text[: around.start + 1] + added + rest
    last = around.members[-1]
    comma = bare.find(",", last.end, around.end)
    after = last.end if comma < 0 else comma + 1
    trailing = "" if comma < 0 else ","  # keep the file's trailing comma
    head = text[: last.end] + ("," if comma < 0 else "") + text[last.end : after]
    if "\n" not in bare[around.start : around.members[0].start]:
        return head + " " + _member(text, 0, name, value, spread=False) + trailing + text[after:]
    line_end = bare.find("\n", after, around.end)
    place = line_end if line_end >= 0 and not bare[after:line_end].strip() else after
    if place > after and text[place - 1] == "\r":
        place -= 1
    added = newline + _line_indent(text, last.start) + _member(text, last.start, name, value) + trailing
    return head + text[after:place] + added + text[place:]


def _cut(text: str, bare: str, around: _Object, member: _Member) -> str:
    """Remove the member with its comma, and its lines if nothing else is on them."""
    place = around.members.index(member)
    following = around.members[place + 1].start if place + 1 < len(around.members) else around.end
    comma = bare.find(",", member.end, following)
    start, end = member.start, member.end if comma < 0 else comma + 1
    before = text.rfind("\n", 0, start) + 1
    newline = text.find("\n", end)
    if not text[before:start].strip() and newline >= 0 and not text[end:newline].strip():
        start, end = before, newline + 1
    elif comma >= 0:
        end += len(text[end:following]) - len(text[end:following].lstrip(" \t"))
    head = text[:start]
    if comma < 0 and place > 0:  # the comma before it
        previous = bare.find(",", around.members[place - 1].end, member.start)
        gap = text[previous + 1 : start]
        head = text[:previous] + ("" if start == member.start and not gap.strip() else gap)
    if len(around.members) == 1 and not (text[around.start + 1 : start] + text[end : around.end]).strip():
        return text[: around.start + 1] + text[around.end :]
    return head + text[end:]


def _bare(text: str) -> str:
    """Return the text with comments, and the line ends inside them, replaced by spaces."""
    return _COMMENTS.sub(lambda one: one[0] if one[0][0] == '"' else " " * len(one[0]), _unmarked(text))


def _unmarked(text: str) -> str:
    return " " + text[1:] if text.startswith("\ufeff") else text


def _plain(bare: str) -> str:
    """Return the text with trailing commas replaced by spaces too: the rest must be JSON."""
    return _COMMAS.sub(lambda one: one[0] if one[0][0] == '"' else one[0][:-1] + " ", bare)


def _object(plain: str, start: int) -> _Object:
    decoder = json.JSONDecoder()
    members: list[_Member] = []
    at = _skip(plain, start + 1)
    while plain[at] != "}":
        name, end = decoder.raw_decode(plain, at)
        value = _skip(plain, _skip(plain, end) + 1)
        _, end = decoder.raw_decode(plain, value)
        members.append(_Member(name, at, value, end))
        at = _skip(plain, end)
        if plain[at] == ",":
            at = _skip(plain, at + 1)
    return _Object(start, at, members)


def _skip(plain: str, at: int) -> int:
    found = _SPACE.match(plain, at)
    assert found is not None
    return found.end()


def _member(text: str, at: int, name: str, value: Any, *, spread: bool = True, indent: str | None = None) -> str:
    return f"{json.dumps(name)}: {_dumped(text, at, value, spread=spread, indent=indent)}"


def _dumped(text: str, at: int, value: Any, *, spread: bool, indent: str | None = None) -> str:
    """Return the value as JSON: on one line, or spread over several lines with the indent of the line at `at`."""
    if not spread:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    newline = "\r\n" if "\r\n" in text else "\n"
    return (newline + (_line_indent(text, at) if indent is None else indent)).join(lines)


def _unit(text: str) -> str:
    """Return the file's indent: the first indent that is not before a comment."""
    found = re.search(r"\n([ \t]+)\S", _bare(text))
    return found[1] if found else INDENT


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _nested(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
