"""The lines in a stream of bytes."""

from __future__ import annotations

from collections import deque


class Lines:
    """The complete lines that were read and not yet taken, with None in place of one longer than `longest` bytes.

    Blank lines are dropped.
    """

    def __init__(self, longest: int) -> None:
        self.complete: deque[bytes | None] = deque()
        self._longest = longest
        self._unfinished: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Add what was read next; no bytes mean the end of the stream."""
        first, *others = data.split(b"\n")  # each byte is examined once, even in a long line
        self._append(first)
        for part in others:
            self._finish()
            self._append(part)
        if not data:
            self._finish()

    def _append(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._longest:
            self._unfinished.append(part)
        else:
            self._unfinished.clear()

    def _finish(self) -> None:
        line = b"".join(self._unfinished) if self._size <= self._longest else None
        if line is None or line.strip():
            self.complete.append(line)
        self._unfinished.clear()
        self._size = 0
