"""What registering would do to one client's file: read, thought through and shown before anything is written."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dibs.registration.clients import NAME, Client, Entry, is_ours, merged, words_of
from dibs.registration.command import Command
from dibs.registration.errors import Unreadable
from dibs_schema.refusals import InvalidInput, ReadOnly

Kind = Literal["create", "change", "nothing"]


@dataclass(frozen=True, slots=True)
class Change:
    """One file of one client, before and after; `before` is None where there is no file."""

    client: Client
    file: Path
    before: str | None
    after: str
    entry: Entry | None

    @property
    def kind(self) -> Kind:
        """What is to be done."""
        if self.after == (self.before or ""):
            return "nothing"
        return "create" if self.before is None else "change"

    def diff(self, root: Path) -> str:
        """The difference in the unified form, with the file's name from the project's root."""
        name = self.file.relative_to(root).as_posix()
        before = "/dev/null" if self.before is None else f"a/{name}"
        lines = difflib.unified_diff(
            (self.before or "").splitlines(), self.after.splitlines(), before, f"b/{name}", lineterm=""
        )
        return "\n".join(lines)


def registration(
    client: Client, root: Path, command: Command, variables: Mapping[str, str], *, force: bool = False
) -> Change:
    """The change that brings the entry of this server into the client's file.

    Raises InvalidInput where the file is not what the client could read, or, without `force`, where a server of
    somebody else has the name; ReadOnly where it may not be written.
    """
    file = client.file(root)
    before = _text(file)
    text = client.beginning if before is None else before
    try:
        data = client.parse(text)
        keys = client.place(data)
        there = _at(data, keys)
        _refuse_theirs(file, there, force=force)
        entry = merged(client, there, command, variables)
        after = text if entry == there else client.format.with_value(text, keys, entry)
        _check(client.parse(after), _changed(data, keys, entry))
    except Unreadable as error:
        raise _unfit(file, error) from None
    return _writable(Change(client, file, before, after, entry))


def removal(client: Client, root: Path, *, force: bool = False) -> Change:
    """The change that takes the entry out again. Raises what `registration` does."""
    file = client.file(root)
    before = _text(file)
    text = before or ""
    try:
        data = client.parse(text)
        keys = client.place(data)
        there = _at(data, keys)
        _refuse_theirs(file, there, force=force)
        after = text if there is None else client.format.without(text, keys)
        _check(_with_section(client.parse(after), data, keys), _changed(data, keys, None))
    except Unreadable as error:
        raise _unfit(file, error) from None
    return _writable(Change(client, file, before, after, None))


def _unfit(file: Path, error: Unreadable) -> InvalidInput:
    return InvalidInput(f"{file} cannot be read: {error}. Nothing was changed.", field="client")


def _refuse_theirs(file: Path, there: Any, *, force: bool) -> None:
    """Raises InvalidInput where an entry is there that is not ours. Its arguments and URL may be secret."""
    if force or there is None or is_ours(there):
        return
    words = words_of(there)
    does = f"starts {words[0]}" if words else "starts no program"
    raise InvalidInput(
        f'The server "{NAME}" in {file} is not Dibs: it {does}. Nothing was changed. Give it another name there, or '
        "repeat with --force, which replaces it or, with --remove, takes it out.",
        field="client",
    )


def _text(file: Path) -> str | None:
    """What the file says, or None where there is none."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _unfit(file, Unreadable(f"byte {error.start} is not UTF-8")) from None
    except OSError as error:
        raise ReadOnly(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error


def _writable(change: Change) -> Change:
    """The same change. Raises ReadOnly where its file is marked as not to be written."""
    if change.kind == "change":
        marked = not change.file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        if marked or not os.access(
            change.file, os.W_OK
        ):  # root may write everything: the mark counts for it, too
            raise ReadOnly(f"{change.file} is read-only. Make it writable and repeat. Nothing was changed.")
    return change


def _at(data: Any, keys: tuple[str, ...]) -> Any:
    """The value at the keys, or None. Raises Unreadable where a value on the way holds no others."""
    for depth, key in enumerate(keys):
        if not isinstance(data, dict):
            raise Unreadable(f'"{keys[depth - 1]}" holds no servers')
        if key not in data:
            return None
        data = data[key]
    return data


def _changed(data: dict[str, Any], keys: tuple[str, ...], entry: Entry | None) -> dict[str, Any]:
    """The data with the entry at the keys, or without one."""
    result = deepcopy(data)
    around: Any = result
    for key in keys[:-1]:
        if entry is None and key not in around:
            return result
        around = around.setdefault(key, {})
    if entry is None:
        around.pop(keys[-1], None)
    else:
        around[keys[-1]] = entry
    return result


def _with_section(data: dict[str, Any], before: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The data with an empty section where there was one: a table of TOML may be there by what is in it alone."""
    return data if keys[0] in data or keys[0] not in before else data | {keys[0]: {}}


def _check(said: dict[str, Any], wanted: dict[str, Any]) -> None:
    """See that the new text says what it said, and the entry: an edit that does not is never written."""
    if said != wanted:
        raise Unreadable("its form is not one that can be changed in place; edit it by hand")
