"""Reads and writes lines on a pair of descriptors, on the event loop and without threads.

O_NONBLOCK is never set, since the parent process or the shell may share the open file description. Instead, a read
waits until the descriptor is readable, and a write is no longer than the size for which `poll` guarantees room.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.lowlevel

from dibs.platform.lines import Lines

assert sys.platform != "win32"


@contextmanager
def private_stdio() -> Iterator[tuple[int, int]]:
    """Yield private duplicates (input, output) of descriptors 0 and 1.

    Until the end, 0 reads from the null device and 1 writes to standard error, here and in child processes.
    """
    input_fd = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    output_fd = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    try:
        yield input_fd, output_fd
    finally:
        with suppress(OSError, ValueError):  # standard error may be gone, or sys.stdout closed
            sys.stdout.flush()  # so that no buffered output reaches the client
        os.dup2(input_fd, 0)
        os.dup2(output_fd, 1)
        os.close(input_fd)
        os.close(output_fd)


class LineReader:
    """Reads lines from a descriptor. It does not read ahead while complete lines wait to be taken."""

    def __init__(self, fd: int, longest: int) -> None:
        mode = os.fstat(fd).st_mode
        self._fd = fd
        self._pollable = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
        self._listening = False
        self._ended = False
        self._lines = Lines(longest)
        self._news = anyio.Event()

    async def take(self) -> bytes | None:
        """Return the next line that is not blank, or None in place of a line that was too long.

        Raises anyio.EndOfStream after the last one.
        """
        while not self._lines.complete:
            if self._ended:
                raise anyio.EndOfStream
            if self._pollable:
                self._news = anyio.Event()
                self._listen()
                await self._news.wait()
            else:  # a file or a device: always ready, and epoll refuses it
                await anyio.lowlevel.checkpoint()
                self._read()
        return self._lines.complete.popleft()

    def close(self) -> None:
        """Stop reading, and drop lines that were not taken."""
        self._lines.complete.clear()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._stop_listening()
        self._news.set()

    def _listen(self) -> None:
        if not self._listening:
            asyncio.get_running_loop().add_reader(self._fd, self._read)
            self._listening = True

    def _stop_listening(self) -> None:
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._listening = False

    def _read(self) -> None:
        if self._lines.complete or self._ended:  # the rest stays in the pipe, which makes a fast client wait
            self._stop_listening()
            return
        try:
            data = os.read(self._fd, 64 << 10)  # the capacity of a pipe
        except BlockingIOError:  # another process that shares the description made it non-blocking, and was faster
            return
        except OSError:  # a socket that was reset, a terminal that hung up
            data = b""
        self._lines.add(data)
        if not data:
            self._end()
        elif self._lines.complete:
            self._news.set()


class LineWriter:
    """Writes lines to a descriptor, complete and in order, as soon as there is room.

    `on_broken` is called once, when the reader has gone; `broken` is true from then on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._backlog = bytearray()
        self._waiting = False
        self._room = anyio.Event()
        self.broken = False
        self.on_broken: Callable[[], None] | None = None

    def write(self, line: bytes) -> None:
        """Write a line with its newline, now or as soon as there is room."""
        if not self.broken:
            self._backlog += line
            self._flush()

    async def drained(self) -> None:
        """Wait until everything was written, or the reader has gone."""
        while self._backlog:
            await self._room.wait()

    def close(self) -> None:
        """Stop writing, and drop the lines that were not written."""
        self._backlog.clear()
        self._stop_waiting()

    def _flush(self) -> None:
        try:
            # What polls as writable takes PIPE_BUF bytes without blocking, and not always more.
            while self._backlog and self._poll.poll(0):
                del self._backlog[: os.write(self._fd, self._backlog[: select.PIPE_BUF])]
        except BlockingIOError:  # another process that shares the description made it non-blocking
            pass
        except OSError:
            self.broken = True
            self._backlog.clear()
            if self.on_broken:
                self.on_broken()
        if self._backlog:
            self._wait()
        else:
            self._stop_waiting()

    def _wait(self) -> None:
        if not self._waiting:
            asyncio.get_running_loop().add_writer(self._fd, self._flush)
            self._waiting = True
            self._room = anyio.Event()

    def _stop_waiting(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self._fd)
            self._waiting = False
            self._room.set()
