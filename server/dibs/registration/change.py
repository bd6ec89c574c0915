"""The change that a registration or its removal makes to one client's file: computed, shown, and then written atomically."""

from __future__ import annotations

import difflib
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dibs.platform.durable_sync import sync_descriptor, sync_folder
from dibs.platform.users import take_owner_and_mode
from dibs.registration.clients import NAME, Client, ServerEntry, is_ours, merged, merged_remote, words_of
from dibs.registration.command import Command
from dibs.registration.errors import Unreadable
from dibs.registration.remote import Remote
from dibs.regular_file import read_regular
from dibs_schema.refusals import Busy, InvalidInput, ReadOnly


@dataclass(frozen=True, slots=True)
class Change:
    """One client's file before and after the change; `before` is None if the file does not exist."""

    client: Client
    file: Path
    before: str | None
    after: str
    entry: ServerEntry | None

    @property
    def kind(self) -> Literal["create", "change", "nothing"]:
        """Whether the change creates a file, changes one, or does nothing."""
        if self.after == (self.before or ""):
            return "nothing"
        return "create" if self.before is None else "change"

    def diff(self, root: Path) -> str:
        """Return a unified diff, with the file's name relative to the project's root."""
        name = self.file.relative_to(root).as_posix()
        before = "/dev/null" if self.before is None else f"a/{name}"
        lines = difflib.unified_diff(
            (self.before or "").splitlines(), self.after.splitlines(), before, f"b/{name}", lineterm=""
        )
        return "\n".join(lines)


def registration(
    client: Client, root: Path, command: Command | Remote, variables: Mapping[str, str], *, force: bool = False
) -> Change:
    """Return the change that adds or updates the server's entry in the client's file.

    Raises InvalidInput if the client could not read the file or, without `force`, if another server has the name.
    Raises ReadOnly if the file cannot be read, or is marked as read-only.
    """

    def entry_for(there: Any) -> ServerEntry:
        if isinstance(command, Remote):
            return merged_remote(client, there, command)
        return merged(client, there, command, variables)

    return _change(client, root, client.beginning, entry_for, force=force)


def removal(client: Client, root: Path, *, force: bool = False) -> Change:
    """Return the change that removes the entry. Raises the same refusals as `registration`."""
    return _change(client, root, "", lambda _: None, force=force)


def _change(
    client: Client, root: Path, beginning: str, entry_for: Callable[[Any], ServerEntry | None], *, force: bool
) -> Change:
    file = client.file(root)
    before = _text(file)
    text = beginning if before is None else before
    try:
        data = client.parse(text)
        keys = client.place(data)
        there = _at(data, keys)
        _refuse_theirs(file, there, force=force)
        entry = entry_for(there)
        if entry == there:
            after = text
        else:
            after = client.format.without(text, keys) if entry is None else client.format.with_value(text, keys, entry)
        _check(_with_section(client.parse(after), data, keys), _changed(data, keys, entry))
    except Unreadable as error:
        raise _unfit(file, error) from None
    if before is not None and after != before:
        marked = not file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        if marked or not os.access(file, os.W_OK):  # the mark counts for root too
            raise ReadOnly(f"{file} is read-only. Make it writable and repeat. Nothing was changed.")
    return Change(client, file, before, after, entry)


def _unfit(file: Path, error: Unreadable) -> InvalidInput:
    return InvalidInput(f"{file} cannot be read: {error}. Nothing was changed.", field="client")


def _refuse_theirs(file: Path, there: Any, *, force: bool) -> None:
    """Raise InvalidInput for an entry of another server, without its arguments and URL, which may be secret."""
    if force or there is None or is_ours(there):
        return
    words = words_of(there)
    does = f"starts {words[0]}" if words else "starts no program"
    raise InvalidInput(
        f'The server "{NAME}" in {file} is not Dibs: it {does}. Nothing was changed. Give it another name there, or '
        "repeat with --force, which replaces it or, with --remove, removes it.",
        field="client",
    )


def _text(file: Path) -> str | None:
    try:
        return read_regular(file, field="client").decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _unfit(file, Unreadable(f"byte {error.start} is not UTF-8")) from None
    except OSError as error:
        raise ReadOnly(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error


def _at(data: Any, keys: tuple[str, ...]) -> Any:
    """Return the value at the keys, or None. Raises Unreadable if a value on the way is not an object."""
    for depth, key in enumerate(keys):
        if not isinstance(data, dict):
            raise Unreadable(f'"{keys[depth - 1]}" holds no servers')
        if key not in data:
            return None
        data = data[key]
    return data


def _changed(data: dict[str, Any], keys: tuple[str, ...], entry: ServerEntry | None) -> dict[str, Any]:
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
    """Return the data with its section, which may be empty: a TOML table may exist only by its content."""
    return data if keys[0] in data or keys[0] not in before else data | {keys[0]: {}}


def _check(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise Unreadable if the edited text differs in anything but the entry; such an edit is never written."""
    if found != wanted:
        raise Unreadable("its form cannot be edited in place; edit it by hand")


def write(change: Change) -> None:
    """Replace the file by the change's new text, completely or not at all.

    Raises Busy if another program has changed the file since it was read, ReadOnly if it cannot be written.
    """
    replace_file(change.file, change.before, change.after)


def replace_file(file: Path, before: str | None, after: str) -> None:
    """Replace a file with the text `before`, or None if there was none, completely or not at all. Raises as `write` does."""
    target = Path(os.path.realpath(file))  # a symbolic link stays, and its target is written
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        now = read_regular(target, field="client") if target.exists() else None
        if now != (None if before is None else before.encode()):
            raise Busy(f"Another program changed {file} in the meantime. It was left unchanged; run this again.")
        _replace(target, after.encode())
    except OSError as error:
        raise ReadOnly(f"{file} cannot be written: {error.strerror}. It was left unchanged.") from error


def _replace(target: Path, content: bytes) -> None:
    """Write a new file next to the target, sync it, and give it the target's name, owner and mode.

    Source: rename(2): at every moment, the name leads to the old file or to the new one.
    """
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if target.exists():
                take_owner_and_mode(file.fileno(), target.stat())
            sync_descriptor(file.fileno())
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
