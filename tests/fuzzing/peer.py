"""Clients of a server under test: one that keeps every received line, and calls over either transport."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dibs_proof.raw_client import Message
from listening import Caller, listening, read
from races.servers import ServerClient, command_on


class Peer(ServerClient):
    """One server process with its complete output."""

    def __init__(self, command: Sequence[str]) -> None:
        self.strange: list[bytes] = []
        self.heard: Counter[Any] = Counter()
        self.messages: list[Message] = []
        super().__init__(command)

    def _take(self, lines: Sequence[bytes], now: float) -> None:
        with self._arrival:
            for line in lines:
                message = _understood(line)
                if message is None:
                    self.strange.append(line)
                elif "method" not in message:
                    self.heard[message["id"]] += 1
                    self._arrived[message["id"]] = (message, now)
                    self.messages.append(message)
            self._arrival.notify_all()

    def wait_for_total(self, count: int, within: float) -> bool:
        """Return whether `count` answers in total came in time."""
        with self._arrival:
            return self._arrival.wait_for(lambda: self.heard.total() >= count, within)

    def logged(self) -> str:
        """Return everything that the server wrote to standard error."""
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")


def _understood(line: bytes) -> Message | None:
    """Return the JSON-RPC message in a line, or None if the line is no such message."""
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return None
    if "method" in message:
        return message if isinstance(message["method"], str) else None
    return message if "id" in message and ("result" in message) != ("error" in message) else None


Ask = Callable[[str, dict[str, Any]], Message]
"""Calls a tool, and returns the whole answer."""
TRANSPORTS = ("stdio", "http")
PROMPT = 60.0
"""Seconds after which a call hangs."""


@contextmanager
def asking(transport: str, db: str, *flags: str) -> Iterator[Ask]:
    """Run a server during the block, with the same assertions over both transports, and yield how to call its tools."""
    if transport == "stdio":
        with peer_on(db, *flags) as peer:
            yield lambda tool, arguments: peer.message(peer.send(tool, **arguments), PROMPT)
        return
    with listening(db, *flags) as server:
        caller = Caller(server.url)
        yield lambda tool, arguments: read(caller.post("tools/call", {"name": tool, "arguments": arguments}))
        caller.close()
        assert server.process.poll() is None, f"the server ended\n{server.said()}"
        assert server.end() == 0
        assert "Traceback" not in server.said(), server.said()[-3_000:]


@contextmanager
def peer_on(db: str, *flags: str) -> Iterator[Peer]:
    """Run a server during the block. It must not end early, must print only JSON-RPC, and must log no fault of its own."""
    peer = Peer(command_on(db, *flags))
    try:
        peer.ready()
        yield peer
        assert peer.process.poll() is None, f"the server ended\n{peer.log()}"
        peer.hang_up()
        assert peer.status() == 0
        assert peer.strange == [], "standard output carries JSON-RPC alone"
        found = re.search(r"Traceback[^\0]*", peer.logged())
        assert found is None, found and found[0][-3_000:]
    finally:
        peer.close()
