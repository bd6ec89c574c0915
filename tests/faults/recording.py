"""The changes of a real process to its files, and its answers, in order: system calls as recorded by strace.

`strace -y` prints the path of each descriptor, and `-xx` every byte of paths and data.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat",
    "mkdir",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "writev",
    "pwritev",
    "pwritev2",
)
UNKNOWN = ("fallocate", "sync_file_range", "rename", "renameat", "renameat2", "writev", "pwritev", "pwritev2")
"""Calls that SQLite does not make on these files, and that the model does not support."""

_FROM_BEGIN = ("write", "pwrite64")

_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OPEN_FILE = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)(?:>|\(deleted\)>)")
_RESULT = re.compile(r"\)\s+= (-?\d+)[^)]*(?:\(.*\))?$")


@dataclass(frozen=True, slots=True)
class Made:
    """A file or folder got its name."""

    path: str
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """A name was removed."""

    path: str


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes were written to a file."""

    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The size of a file was set."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file, or the names in a folder, are on the disk."""

    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer was sent to the client."""

    answer: int


Event = Made | Removed | Written | Cut | Synced | Said


def command(into: Path) -> list[str]:
    """Return the command prefix that records a program."""
    told = ["-f", "-y", "-xx", "-s", "100000000", "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}"]
    return ["strace", *told, "-o", f"{into}"]


def why_not() -> str | None:
    """Return the reason why nothing can be recorded here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "--seccomp-bpf", "-f", "-y", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"strace does not work here: {tried.stderr[-200:]!r}"


def read(recorded: Path, root: Path) -> Iterator[Event]:
    """Return the changes of the files under `root`, and the answers, in order.

    A write has the time of its start, and everything else the time of its end.
    """
    begun: dict[str, tuple[str, str]] = {}
    said = b""
    for line in recorded.read_text(encoding="ascii").splitlines():
        found = _LINE.match(line)
        if found is None:  # an exit, a signal
            continue
        process, resumed, end, call, text = found.groups()
        if resumed is not None:
            call, text = begun.pop(process)
            text += end
            if call in _FROM_BEGIN:
                continue
        elif text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>").rstrip()
            begun[process] = call, text
            if call not in _FROM_BEGIN:
                continue
        if (result := _RESULT.search(text)) is not None and result[1].startswith("-"):
            continue
        if call == "write" and _path(text).startswith("pipe:"):
            said += _data(text)
            *lines, said = said.split(b"\n")
            yield from (Said(answer) for answer in map(_answer, lines) if answer)
        else:
            yield from _event(call, text, f"{root}")


def _event(call: str, text: str, root: str) -> Iterator[Event]:
    path = _path(text)
    if not path.startswith(root) or path.endswith(("-shm", ".lock", ".gitignore")):
        return
    assert call not in UNKNOWN, f"{call} of {path}"
    rest = _TEXT.sub("", text)
    numbers = [int(one) for one in re.findall(r", (\d+)(?=[,)])", rest)]
    if call == "openat" and "O_CREAT" in rest:
        yield Made(path)
    elif call == "mkdir":
        yield Made(path, folder=True)
    elif call in ("unlink", "unlinkat"):
        yield Removed(path)
    elif call == "pwrite64":
        yield Written(path, numbers[1], _data(text))
    elif call == "ftruncate":
        yield Cut(path, numbers[0])
    elif call in ("fsync", "fdatasync"):
        yield Synced(path)


def _answer(line: bytes) -> int:
    """Return the id of the request that a line answers, or 0 for the answer to `initialize` and for other lines."""
    message = json.loads(line) if line.startswith(b"{") else {}
    return 0 if "method" in message else int(message.get("id", 0))


def _path(text: str) -> str:
    """Return the path of a call: that of the open file, or the path in its arguments."""
    named = _OPEN_FILE.match(text)
    return (_bytes(named[2]) if named else _data(text)).decode(errors="replace")


def _data(text: str) -> bytes:
    found = _TEXT.search(text)
    return _bytes(found[1]) if found else b""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
