"""The output of commands: every line is labelled with agent and feature, and the end is kept for reports."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 8_192
"""Bytes after which a line is split in two."""
TAIL = 256 << 10
"""Bytes of a command's output that are kept in memory, for its reason or evidence."""


class Screen:
    """Standard output, to which the commands of all agents write whole lines. A thread writes, since a pipe may block."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._is_open = True

    async def write(self, data: bytes) -> None:
        """Write lines. Once nobody reads them any more, they are dropped, and the agents continue."""
        async with self._one_at_a_time:
            if self._is_open:
                self._is_open = await asyncio.to_thread(_written, data)

    async def say(self, text: str) -> None:
        """Write a line of the loop itself."""
        await self.write(text.encode(errors="replace") + b"\n")


def _written(data: bytes) -> bool:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError:  # a closed pipe, or a full disk
        null = os.open(os.devnull, os.O_WRONLY)  # the interpreter flushes once more at its exit
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return False
    return True


class Output:
    """The output of one command: to the screen, with a prefix for each line, or unchanged to a log file."""

    def __init__(self, screen: Screen, prefix: str, log: Path | None) -> None:
        self._screen = screen
        self._prefix = prefix.encode(errors="replace")
        self._log: BinaryIO | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("ab")
        self._line = b""
        self._tail = bytearray()

    async def write(self, data: bytes) -> None:
        """Take a part of the output."""
        self._tail += data
        if len(self._tail) > 2 * TAIL:
            del self._tail[:-TAIL]
        if self._log is not None:
            with suppress(OSError):  # a full disk; the reason of a failure comes from memory
                await asyncio.to_thread(self._log.write, data)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        while len(self._line) > LONGEST_LINE:
            lines.append(self._line[:LONGEST_LINE])
            self._line = self._line[LONGEST_LINE:]
        if lines:
            await self._screen.write(b"".join(self._prefix + line.rstrip(b"\r") + b"\n" for line in lines))

    async def close(self) -> None:
        """Write the last line, even if it has no line end."""
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
        elif self._line:
            await self._screen.write(self._prefix + self._line + b"\n")
            self._line = b""

    @property
    def tail(self) -> str:
        """The last TAIL bytes as text, without the blank ends."""
        return bytes(self._tail[-TAIL:]).decode(errors="replace").strip()
