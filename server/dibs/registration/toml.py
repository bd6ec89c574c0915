"""Edits TOML files with tomlkit: sets or removes one table, and keeps the rest as it is written."""

from __future__ import annotations

import tomllib
from typing import Any

from dibs.registration.errors import Unreadable


def parse(text: str) -> dict[str, Any]:
    """Parse the text. Raises Unreadable."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(str(error)) from None


def with_value(text: str, keys: tuple[str, ...], value: dict[str, Any]) -> str:
    """Return the text with the table `value` at `keys`: appended if it is new, else changed key by key.

    Raises Unreadable if the section is not a table.
    """
    import tomlkit
    from tomlkit.items import InlineTable

    section, name = keys
    there = parse(text).get(section, {})
    if not isinstance(there, dict):
        raise Unreadable(f"{section} is not a table")
    document = tomlkit.parse(text)
    if name not in there and not isinstance(document.get(section), InlineTable):
        return _appended(text, keys, value)
    table: Any = document[section]  # a new entry goes into it only if it is inline: no table can be appended to it
    if not isinstance(there.get(name), dict):
        table[name] = _inline(value)
    else:
        entry = table[name]
        for key in [key for key in entry if key not in value]:
            del entry[key]
        for key, one in value.items():
            if entry.get(key) != one:
                entry[key] = _inline(one)
    return _line_ends(text, document.as_string())


def without(text: str, keys: tuple[str, ...]) -> str:
    """Return the text without the table at `keys`. Raises Unreadable."""
    import tomlkit

    section, name = keys
    if name not in parse(text).get(section, {}):
        return text
    document = tomlkit.parse(text)
    table: Any = document[section]
    del table[name]
    rest = document.as_string()
    if rest.endswith("\n\n") and not text.endswith("\n\n"):  # the empty line before the removed table
        rest = rest.removesuffix("\n")
    return _line_ends(text, rest)


def _appended(text: str, keys: tuple[str, ...], value: dict[str, Any]) -> str:
    import tomlkit

    body = "".join(f"{key} = {_inline(one).as_string()}\n" for key, one in value.items())
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    return _line_ends(text, f"{text}{gap}[{'.'.join(tomlkit.key(key).as_string() for key in keys)}]\n{body}")


def _inline(value: Any) -> Any:
    """Return the value as an item for the right side of an equals sign."""
    import tomlkit

    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _line_ends(before: str, after: str) -> str:
    """Return `after` with CRLF line ends if `before` has only those."""
    if "\r\n" in before and before.count("\n") == before.count("\r\n"):
        return after.replace("\r\n", "\n").replace("\n", "\r\n")
    return after
