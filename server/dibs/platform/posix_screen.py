"""The whole screen of a POSIX terminal: lines to draw, keys, and the signals that concern it."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import sys
import termios
import tty
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

assert sys.platform != "win32"

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""Show the alternate screen without a cursor, and the screen from before with its cursor."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
REST_OF_KEY = 0.05
"""Seconds for which the rest of a key's sequence may take to arrive: without one it is the key Esc."""
KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
}
KEYS |= {"\x1bOA": "up", "\x1bOB": "down", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end"}
KEYS |= {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear", "\x1b": "escape"}
_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")


class Screen:
    """Draws on the alternate screen and reads keys during a `with` block, and then restores the terminal.

    It is restored before a stop (Ctrl-Z), after an exception, and before a signal ends the process.
    """

    def __init__(self) -> None:
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._typed = ""
        self._drawn: list[str] | None = None
        self._signals: list[int] = []
        self._modes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        # Open until the process ends: a thread may call `wake` later, when the number would mean another file.
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def enter(self) -> None:
        """Take the terminal."""
        self._handlers = {one: signal.signal(one, self._receive) for one in SIGNALS}
        self._modes = termios.tcgetattr(self._input)
        tty.setcbreak(self._input, termios.TCSADRAIN)
        self._drawn = None
        self._write(ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was. Idempotent."""
        with suppress(OSError, termios.error):  # the terminal may have gone
            self._write(LEAVE)
        if self._modes is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._modes)
        self._modes = None
        for one, handler in self._handlers.items():
            signal.signal(one, handler)
        self._handlers = {}

    @property
    def size(self) -> tuple[int, int]:
        """The columns and lines of the terminal; 80 and 24 if it does not know."""
        columns, lines = os.get_terminal_size(self._output)
        return columns or 80, lines or 24

    def draw(self, lines: list[str]) -> None:
        """Show these lines, which must fit. Only lines that have changed are sent."""
        before = self._drawn or []
        sent = [] if self._drawn is not None else ["\x1b[2J"]
        for row, line in enumerate(lines):
            if row >= len(before) or before[row] != line:
                sent.append(f"\x1b[{row + 1};1H\x1b[2K{line}")
        sent += [f"\x1b[{row + 1};1H\x1b[2K" for row in range(len(lines), len(before))]
        self._drawn = lines
        if sent:
            self._write("".join(sent))

    def wake(self) -> None:
        """Let `keys` return now. Any thread, and a signal handler, may call it."""
        with suppress(BlockingIOError):  # the pipe is full
            os.write(self._waker, b"\0")

    def keys(self, seconds: float) -> list[str]:
        """Return the keys that are pressed, after at most `seconds`: characters, and the names in KEYS.

        Raises KeyboardInterrupt at Ctrl-C, SystemExit at SIGTERM and SIGHUP, and EOFError if the terminal has gone.
        """
        ready, _, _ = select.select([self._input, self._woken], [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 4096)
        self._obey_signals()
        if self._input not in ready:
            return []
        self._read()
        if _UNFINISHED.search(self._typed) and select.select([self._input], [], [], REST_OF_KEY)[0]:
            self._read()
        pressed, self._typed = _KEY.findall(self._typed), ""
        return [KEYS.get(one, one) for one in pressed if one in KEYS or one.isprintable()]

    def _read(self) -> None:
        data = os.read(self._input, 4096)
        if not data:
            raise EOFError
        self._typed += self._decoder.decode(data)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)
        self.wake()

    def _obey_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            if number in (signal.SIGTERM, signal.SIGHUP):
                sys.exit(128 + number)
            if number == signal.SIGWINCH:
                self._drawn = None
                continue
            self.leave()
            if number == signal.SIGTSTP:
                os.kill(os.getpid(), signal.SIGTSTP)  # with the action from before: stop until SIGCONT
            self.enter()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
