"""A proxy before PostgreSQL that breaks the connection at a chosen statement.

It reads only the necessary part of the protocol (https://www.postgresql.org/docs/18/protocol-message-formats.html):
which statement a message runs, and which answer belongs to it. The server answers the start, each 'Q' (simple query) and
each 'S' (sync) with exactly one 'Z' (ready for query), in order. The proxy declines TLS, and miscounts COPY FROM STDIN.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Self
from urllib.parse import urlsplit

from clusters.urls import free_port, moved

_UNENCRYPTED = {80877103, 80877104}  # SSLRequest and GSSENCRequest, which 'N' declines
_CANCEL = 80877102


@dataclass
class Cut:
    """A connection that will be lost, once, at the first statement that contains `text`."""

    text: bytes
    after: bool  # True: the server runs the statement and answers the proxy. False: it never receives the statement
    since: bytes = b""  # the cut waits for a statement that contains this
    happened: threading.Event = field(default_factory=threading.Event)

    def wait(self, within: float = 10) -> None:
        """Return when it has happened. Raises AssertionError if it has not within the given seconds."""
        assert self.happened.wait(within), f"no {self.text!r} came by"


class CuttingProxy:
    """Forwards connections to the server of a URL. The end of its `with` block closes it."""

    def __init__(self, server: str) -> None:
        self.lead_to(server)
        self.port = free_port()
        self._lock = threading.Lock()
        self._armed: Cut | None = None
        self._lines: list[_Line] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Event()
        self.accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, url: str) -> str:
        """Return the URL of the same database through this proxy."""
        return moved(url, {"sslmode": "disable", "gssencmode": "disable"}, port=self.port)

    def lead_to(self, server: str) -> None:
        """Send new connections to the server of this URL, such as a promoted standby."""
        parts = urlsplit(server)
        self.server = (parts.hostname or "127.0.0.1", parts.port or 5432)

    def cut_before(self, text: bytes, since: bytes = b"") -> Cut:
        """Lose the next statement that contains `text`, and its connection.

        With `since`, that is the next such statement after a statement that contains `since`.
        """
        return self._arm(Cut(text, after=False, since=since))

    def cut_after(self, text: bytes, since: bytes = b"") -> Cut:
        """Let the server run the next statement that contains `text`, then lose its answer and the connection."""
        return self._arm(Cut(text, after=True, since=since))

    def cut_all(self) -> None:
        """Break every connection now."""
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.cut()

    def stop_accepting(self) -> None:
        """Refuse new connections, as a server that is down does. Open connections stay open."""
        self._accepting.clear()
        self._taker.join()

    def accept(self) -> None:
        """Take new connections, on the same port as before."""
        assert not self._accepting.is_set(), "it accepts already"
        self._accepting.set()
        listener = socket.create_server(("127.0.0.1", self.port))
        self._taker = threading.Thread(target=self._take, args=(listener,), name="proxy", daemon=True)
        self._taker.start()

    def close(self) -> None:
        """Refuse and lose all connections."""
        self.stop_accepting()
        self.cut_all()
        for thread in self._threads:
            thread.join()

    def armed_for(self, statement: bytes) -> Cut | None:
        """Return the cut at this statement, or None. Each cut is returned once."""
        with self._lock:
            cut = self._armed
            if cut is None or cut.since or cut.text not in statement:
                if cut is not None and cut.since in statement:
                    cut.since = b""
                return None
            self._armed = None
            return cut

    def _arm(self, cut: Cut) -> Cut:
        with self._lock:
            assert self._armed is None, "one cut at a time"
            self._armed = cut
        return cut

    def _take(self, listener: socket.socket) -> None:
        listener.settimeout(0.02)  # to notice the end: closing a socket does not wake a thread that waits for it
        with listener:
            while self._accepting.is_set():
                with suppress(OSError):  # no client came, or the server is down
                    self._join(listener.accept()[0])

    def _join(self, client: socket.socket) -> None:
        try:
            line = _Line(self, client, socket.create_connection(self.server))
        except OSError:
            client.close()
            raise
        with self._lock:
            self._lines.append(line)
        for way in (line.ask, line.answer):
            thread = threading.Thread(target=way, name="proxy", daemon=True)
            self._threads.append(thread)
            thread.start()


class _Line:
    """One client's connection. One thread carries requests to the server, another carries answers to the client."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy, self._client, self._server = proxy, client, server
        self._statements: dict[bytes, bytes] = {}  # prepared statements, by name
        self._portals: dict[bytes, bytes] = {}  # bound statements, by portal
        self._asked = 1  # how many 'Z' the server must send; the first ends the start
        self._due: tuple[Cut, int] | None = None  # and the number of 'Z' before the lost answer

    def cut(self) -> None:
        """Lose the connection."""
        for end in (self._client, self._server):
            with suppress(OSError):  # it was lost already
                end.shutdown(socket.SHUT_RDWR)

    def ask(self) -> None:
        """Carry the client's messages to the server."""
        with self._client.makefile("rb") as messages, suppress(OSError):
            if self._start(messages):
                for kind, raw in _typed(messages):
                    text = self._runs(kind, raw[5:])
                    cut = self._proxy.armed_for(text) if text else None
                    if cut is not None and not cut.after:
                        self.cut()
                        cut.happened.set()
                        break
                    if cut is not None:
                        self._due = cut, self._asked
                    self._asked += kind in b"QSF"
                    self._server.sendall(raw)
        self.cut()

    def answer(self) -> None:
        """Carry the server's messages to the client."""
        answered = 0
        with self._server.makefile("rb") as messages, suppress(OSError):
            for kind, raw in _typed(messages):
                if self._due is None or answered < self._due[1]:
                    self._client.sendall(raw)
                elif kind == b"Z":
                    self.cut()
                    self._due[0].happened.set()
                    break
                answered += kind == b"Z"
        self.cut()
        self._server.close()
        self._client.close()

    def _start(self, messages: IO[bytes]) -> bool:
        """Carry the messages before the first typed message, and return whether any will follow."""
        while head := messages.read(8):
            length, code = struct.unpack("!II", head)
            if code in _UNENCRYPTED:
                self._client.sendall(b"N")
                continue
            self._server.sendall(head + messages.read(length - 8))
            return bool(code != _CANCEL)
        return False

    def _runs(self, kind: bytes, body: bytes) -> bytes | None:
        """Return the statement that a message runs, or None if it runs no statement."""
        if kind == b"Q":
            return body[:-1]
        first, _, rest = body.partition(b"\0")
        second = rest.partition(b"\0")[0]
        if kind == b"P":
            self._statements[first] = second
        elif kind == b"B":
            self._portals[first] = self._statements.get(second, b"")
        elif kind == b"E":
            return self._portals.get(first)
        return None


def _typed(messages: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each message's kind and its bytes."""
    while len(head := messages.read(5)) == 5:
        yield head[:1], head + messages.read(struct.unpack("!I", head[1:])[0] - 4)
