"""Reads and writes lines on a pair of descriptors, each in a thread that may block.

Neither thread can be stopped while it waits for a client. Both are daemons, and the end of the process ends them.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import anyio

from dibs.platform.lines import Lines


@contextmanager
def private_stdio() -> Iterator[tuple[int, int]]:
    """Yield private duplicates (input, output) of descriptors 0 and 1, for the rest of the process.

    From now on, 0 reads from the null device and 1 writes to standard error, here and in child processes.
    """
    input_fd, output_fd = os.dup(0), os.dup(1)
    if sys.platform == "win32":  # a line ends with \n alone
        import msvcrt

        for descriptor in (input_fd, output_fd):
            msvcrt.setmode(descriptor, os.O_BINARY)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    yield input_fd, output_fd  # a close would wait for a thread that reads or writes


class LineReader:
    """Reads lines from a descriptor. It does not read ahead while complete lines wait to be taken."""

    def __init__(self, fd: int, longest: int) -> None:
        self._fd = fd
        self._lines = Lines(longest)
        self._reading = self._ended = False
        self._wanted: queue.SimpleQueue[asyncio.AbstractEventLoop | None] = queue.SimpleQueue()
        self._news = anyio.Event()
        threading.Thread(target=self._run, name="standard input", daemon=True).start()

    async def take(self) -> bytes | None:
        """Return the next line that is not blank, or None in place of a line that was too long.

        Raises anyio.EndOfStream after the last one.
        """
        while not self._lines.complete:
            if self._ended:
                raise anyio.EndOfStream
            self._news = anyio.Event()
            self._read()
            await self._news.wait()
        return self._lines.complete.popleft()

    def close(self) -> None:
        """Stop reading, and drop lines that were not taken."""
        self._lines.complete.clear()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._wanted.put(None)
        self._news.set()

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            self._wanted.put(asyncio.get_running_loop())

    def _received(self, data: bytes) -> None:
        self._reading = False
        if self._ended:
            return
        self._lines.add(data)
        if not data:
            self._end()
        elif self._lines.complete:
            self._news.set()
        else:
            self._read()

    def _run(self) -> None:
        while (loop := self._wanted.get()) is not None:
            try:
                data = os.read(self._fd, 64 << 10)
            except OSError:  # the client has gone
                data = b""
            with suppress(RuntimeError):  # the event loop has been closed
                loop.call_soon_threadsafe(self._received, data)


class LineWriter:
    """Writes lines to a descriptor, complete and in order.

    `on_broken` is called once, when the reader has gone; `broken` is true from then on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._unwritten = 0
        self._closed = False
        self._empty = anyio.Event()
        self.broken = False
        self.on_broken: Callable[[], None] | None = None
        threading.Thread(target=self._run, name="standard output", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Write a line with its newline, as soon as there is room."""
        if not self.broken:
            self._unwritten += 1
            self._waiting.put((line, asyncio.get_running_loop()))

    async def drained(self) -> None:
        """Wait until everything was written, or the reader has gone."""
        while self._unwritten and not self.broken:
            self._empty = anyio.Event()
            await self._empty.wait()

    def close(self) -> None:
        """Stop writing, and drop the lines that were not written."""
        self._closed = True
        self._waiting.put(None)

    def _written(self, *, is_broken: bool) -> None:
        self._unwritten -= 1
        if is_broken and not self.broken:
            self.broken = True
            if self.on_broken:
                self.on_broken()
        if self.broken or not self._unwritten:
            self._empty.set()

    def _run(self) -> None:
        is_broken = False
        while (item := self._waiting.get()) is not None and not self._closed:
            line, loop = item
            try:
                while line and not is_broken:
                    line = line[os.write(self._fd, line) :]
            except OSError:
                is_broken = True
            with suppress(RuntimeError):  # the event loop has been closed
                loop.call_soon_threadsafe(partial(self._written, is_broken=is_broken))
