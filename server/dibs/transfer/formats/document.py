"""From bytes to values: JSON or JSON Lines, or a refusal that says what is wrong at which line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from dibs_schema.refusals import InvalidInput

MAX_BYTES: Final = 50_000_000
LONGEST_NUMBER: Final = 18
"""Digits of a whole number that is read as one; a longer one stays text, as an id may be."""

_WRONG: Final = {
    "Expecting value": "a value is missing there, or is not JSON",
    "Expecting property name enclosed in double quotes": "a name in double quotes must stand there",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing there",
    "Expecting ':' delimiter": "a colon is missing there",
    "Invalid control character at": "a text there holds a bare line break or control character",
    "Invalid \\escape": "a backslash there begins no valid escape",
    "Invalid \\uXXXX escape": "a \\u there is not followed by four hexadecimal digits",
    "Extra data": "the JSON has ended before, and more text follows",
    "Illegal trailing comma before end of object": "there is a comma too many",
    "Illegal trailing comma before end of array": "there is a comma too many",
}


class Lines(list[tuple[int, Any]]):
    """The values of a JSON Lines file, each with its line's number, from 1."""


def read_bytes(path: Path) -> bytes:
    """Return what the file holds, at most 50 MB of it."""
    try:
        if path.is_dir():
            raise InvalidInput("it is a folder; name the file inside it.")
        if not path.exists():
            raise InvalidInput("there is no such file; check the path.")
        if not path.is_file():
            raise InvalidInput("it is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"it is larger than {MAX_BYTES // 1_000_000} MB; split it or name another file.")
    return content


def parse(content: bytes) -> Any:
    """Return the JSON value in `content`, or `Lines` where every line is a JSON object of its own."""
    text = _decode(content)
    if not text.strip():
        raise InvalidInput("it is empty; there is nothing to import.")
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        if _is_object(text.lstrip().partition("\n")[0]):
            return _lines(text)
        raise _refusal(error, error.lineno, error.colno) from error


def _lines(text: str) -> Lines:
    found = Lines()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append((number, _loads(line)))
        except json.JSONDecodeError as error:
            raise _refusal(error, number, error.colno) from error
    return found


def _is_object(line: str) -> bool:
    try:
        return isinstance(_loads(line), dict)
    except json.JSONDecodeError:
        return False


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_number, parse_float=str, parse_constant=str)
    except RecursionError as error:
        raise InvalidInput("its JSON is nested too deeply for a feature list.") from error


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_NUMBER else digits


def _decode(content: bytes) -> str:
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise InvalidInput("it is written in UTF-16; save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a mark at the beginning, the codec counts from behind it.
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InvalidInput(
            f"it is not UTF-8 at line {line}, byte {column} of the line; save it as UTF-8."
        ) from error


def _refusal(error: json.JSONDecodeError, line: int, column: int) -> InvalidInput:
    cut_off = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    wrong = "the file ends too early, as if cut off" if cut_off else _WRONG.get(error.msg, "that is not JSON")
    return InvalidInput(
        f"it is not valid JSON at line {line}, column {column}: {wrong}.", line=line, column=column
    )
