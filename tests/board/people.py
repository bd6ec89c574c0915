"""A real `dibs board`, and people who use it by hand: any header, any form, any early end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

FRAGMENT = {"accept": "text/vnd.dibs.fragment"}
LATEST = 60.0
"""Seconds within which what a test waits for must have happened."""


class BoardProcess:
    """A `dibs board` on a database. `url` has the key."""

    def __init__(self, db: str, *flags: str, port: int | None = 0) -> None:
        chosen = () if port is None else ("--port", str(port))
        command = [sys.executable, "-m", "dibs", "board", "--db", db, *chosen, *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.url
        self.port = urlsplit(self.url).port or 0
        self.origin = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def board_on(db: str, *flags: str, port: int | None = 0) -> Iterator[BoardProcess]:
    """Start a board; it is killed at the end of the block."""
    board = BoardProcess(db, *flags, port=port)
    try:
        yield board
    finally:
        board.kill()


class Person(httpx2.Client):
    """A browser: it sends Origin and Sec-Fetch-Site as one does, and follows no redirect."""

    def __init__(self, board: BoardProcess, **options: Any) -> None:
        super().__init__(base_url=board.origin, timeout=LATEST, verify=False, **options)  # reads no certificates
        self.board = board

    def enter(self) -> Self:
        """Exchange the key for the cookie."""
        assert self.get(self.board.url).status_code == 200
        return self

    def act(self, action: str, headers: dict[str, str] | None = None, /, **values: Any) -> httpx2.Response:
        """Send a form as a browser does."""
        own = {"origin": self.board.origin, "sec-fetch-site": "same-origin"}
        return self.post(f"/do/{action}", data={"back": "/", **values}, headers={**own, **(headers or {})})


def alerts(document: str) -> list[str]:
    """Return the refusals that a page shows."""
    return [words for words in re.findall(r'<p role="alert"[^>]*>([^<]*)</p>', document) if words.strip()]


class Stream:
    """The events of a page, as the script receives them."""

    def __init__(self, person: Person, page: str, **headers: str) -> None:
        self._request = person.stream("GET", "/live", params={"page": page}, headers=headers)
        self._stack = ExitStack()
        self._lines: Iterator[str] = iter(())
        self.id: str | None = None

    def __enter__(self) -> Self:
        self._lines = self._stack.enter_context(self._request).iter_lines()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def next(self, *kinds: str) -> str:
        """Return the data of the next event of one of the kinds, and remember its id."""
        end, kind, data = time.monotonic() + LATEST, "", list[str]()
        for line in self._lines:
            assert time.monotonic() < end, f"no {kinds}"
            name, _, value = line.partition(": ")
            match name:
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "id":
                    self.id = value
                case "":
                    if kind in kinds:
                        return "\n".join(data)
                    kind, data = "", []
        raise EOFError("the stream has ended")
