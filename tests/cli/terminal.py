"""A terminal that a test types into and looks at: a shell in tmux, or one process on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

WITHIN = 60.0
"""Seconds: how long a loaded machine may take to draw what a test waits for."""
PROMPT = "tests-shell>"

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux, which plays the terminal, is not installed")


@dataclass(frozen=True)
class Tmux:
    """A shell in a tmux server of its own."""

    socket: Path
    environment: Mapping[str, str]

    def run(self, *arguments: object) -> str:
        """Run a command of tmux, and return what it prints."""
        command = ["tmux", "-u", "-S", str(self.socket), "-f", "/dev/null", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def type(self, *keys: str) -> None:
        """Press keys by their names in tmux; other texts are typed as they are."""
        self.run("send-keys", *keys)

    def lines(self) -> list[str]:
        """Return the lines of the screen."""
        return [line.rstrip() for line in self.run("capture-pane", "-p").splitlines()]

    def line(self, beginning: str) -> str:
        """Return the first line of the screen that begins with a text, or an empty one."""
        return next((one for one in self.lines() if one.strip().startswith(beginning)), "")

    def wait(self, true: Callable[[list[str]], object]) -> list[str]:
        """Wait until the lines of the screen are so, and return them."""
        deadline = time.monotonic() + WITHIN
        while not true(lines := self.lines()):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.05)
        return lines

    def wait_for(self, text: str) -> list[str]:
        """Wait until a text is on the screen."""
        return self.wait(lambda lines: any(text in line for line in lines))

    def wait_without(self, text: str) -> list[str]:
        """Wait until a text is no longer on the screen."""
        return self.wait(lambda lines: all(text not in line for line in lines))

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        self.run("resize-window", "-x", columns, "-y", lines)


@contextmanager
def tmux(folder: Path, environment: Mapping[str, str], columns: int = 80, lines: int = 24) -> Iterator[Tmux]:
    """Open a shell in a folder, and end it with everything that runs in it."""
    given = {**environment, "PS1": f"{PROMPT} ", "LC_ALL": "C.UTF-8"}
    given |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    shell = Tmux(folder / "t", given)
    size = ("-x", columns, "-y", lines, "-c", folder)
    shell.run("new-session", "-d", *size, "bash", "--norc", "--noprofile")
    try:
        shell.wait_for(PROMPT)
        yield shell
    finally:
        with suppress(subprocess.CalledProcessError):
            shell.run("kill-server")


class Pty:
    """A process on a pseudo-terminal, whose output is collected in `seen`."""

    def __init__(self, arguments: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        import pty

        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(arguments[0], arguments, dict(environment))

    def type(self, keys: bytes) -> None:
        """Send bytes as a keyboard does."""
        os.write(self.terminal, keys)

    def interrupt(self, wanted: bytes) -> None:
        """Press Ctrl-C until these bytes come: Python's `input` misses one that arrives just before it reads."""
        for _ in range(10):
            self.type(b"\x03")
            with suppress(AssertionError):
                self.wait_for(wanted, within=3)
                return
        raise AssertionError(self.seen)

    def wait_for(self, wanted: bytes, within: float = WITHIN) -> None:
        """Read until these bytes have come since the last call."""
        before, deadline = len(self.seen), time.monotonic() + within
        while wanted not in self.seen[before:]:
            assert time.monotonic() < deadline, self.seen[before:]
            self._read()

    def status(self) -> int:
        """Read until the process has ended, and return its exit status."""
        deadline = time.monotonic() + WITHIN
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._read()
            if pid:
                os.close(self.terminal)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, self.seen

    def _read(self) -> None:
        if select.select([self.terminal], [], [], 0.1)[0]:
            with suppress(OSError):  # Linux reports the end of the process so
                self.seen += os.read(self.terminal, 65_536)

    def text(self) -> str:
        """Return what has been written, without escape sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen.decode())
