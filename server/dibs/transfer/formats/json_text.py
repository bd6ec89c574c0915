"""Parses JSON and JSON Lines, with the place of any error, and finds the records in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from dibs_schema.refusals import InvalidInput

_PROBLEMS: Final = {
    "Expecting value": "a value is missing there, or is not JSON",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing there",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing there",
    "Expecting ':' delimiter": "a colon is missing there",
    "Invalid control character at": "a string there holds a bare line break or control character",
    "Invalid \\escape": "a backslash there begins no valid escape",
    "Invalid \\uXXXX escape": "a \\u there is not followed by four hexadecimal digits",
    "Extra data": "the JSON has ended, and more text follows",
    "Illegal trailing comma before end of object": "the comma there must be removed",
    "Illegal trailing comma before end of array": "the comma there must be removed",
}


class Lines(list[tuple[int, Any]]):
    """The values of a JSON Lines file, each with its line number, counted from 1."""


def parse(text: str) -> Any:
    """Return the JSON value in `text`, or `Lines` if every line is a JSON object. Raises InvalidInput."""
    if not text.strip():
        raise InvalidInput("it is empty, so there is nothing to import.")
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        if _is_object(text.lstrip().partition("\n")[0]):
            return Lines(_parse_lines(text))
        raise _not_json(error, error.lineno) from error


def _parse_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                yield number, _loads(line)
        except json.JSONDecodeError as error:
            raise _not_json(error, number) from error


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
    return int(digits) if len(digits) <= 18 else digits  # an id may have the form of a long number


def _not_json(error: json.JSONDecodeError, line: int) -> InvalidInput:
    cut_off = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    problem = "the file ends too early" if cut_off else _PROBLEMS.get(error.msg, "that is not JSON")
    return InvalidInput(
        f"it is not valid JSON at line {line}, column {error.colno}: {problem}.", line=line, column=error.colno
    )


def _places(document: Any, key: str | None) -> Iterator[tuple[str, Any]]:
    listed = document.get(key) if isinstance(document, dict) and key else document
    if isinstance(document, dict) and key is None:
        yield "line 1", document  # JSON Lines of one line
    elif isinstance(listed, Lines):
        yield from ((f"line {number}", value) for number, value in listed)
    elif isinstance(listed, list):
        yield from ((f"{key or ''}[{index}]", value) for index, value in enumerate(listed))


def records_of(document: Any, key: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list, of JSON Lines, or with `key` of the list under it, each with its place in the file.

    Raises InvalidInput if one is not an object.
    """
    for path, value in _places(document, key):
        if not isinstance(value, dict):
            raise InvalidInput(f"{path} is not an object; a feature is an object with at least a name.", field=path)
        yield path, value


def first_records(document: Any, key: str | None = None) -> list[dict[str, Any]]:
    """Return the objects among the first members, which identify a format."""
    return [value for _, value in islice(_places(document, key), 20) if isinstance(value, dict)]
