"""A client that speaks JSON-RPC by hand, so that it can pipeline, cancel, hang up, stop and kill at will."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from dibs_schema.refusals import Refusal, all_codes
from races.nursery import Born, is_plain

Message = dict[str, Any]
Start = Callable[..., "Wire"]
"""Starts a server on the test's database: `start("--lease", "2")`."""

OPENING: list[Message] = [
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "wire", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]
PATIENT = 60.0
"""Seconds after which an answer is missing, and not late."""

_REFUSALS = all_codes()


class Missing(Exception):  # noqa: N818 - it describes the answer
    """An answer did not come: the server has ended, or took too long."""


class Wire:
    """One server process and the two ends of its wire. Nothing is awaited before it is asked for."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        opening: Sequence[Message] = OPENING,
    ) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.process = _start(command, environment or {}, self.errors)
        self._answers: dict[int, tuple[Message, float]] = {}
        self._news = threading.Condition()
        self._ended = False
        self._last_id = 0
        self._deaf, self._deafen = os.pipe()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        for message in opening:
            self.write(message)

    def write(self, message: Message) -> None:
        """Send one message."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> int:
        """Send a request, and return its id."""
        self._last_id += 1
        self.write({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        return self._last_id

    def send(self, tool: str, **arguments: Any) -> int:
        """Send a call of a tool, and return its id."""
        return self.ask("tools/call", name=tool, arguments=arguments)

    def cancel(self, request: int) -> None:
        """Take a request back."""
        self.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}})

    def message(self, request: int, within: float = PATIENT) -> Message:
        """What came back for a request. Raises Missing."""
        with self._news:
            arrived = self._news.wait_for(lambda: request in self._answers or self._ended, within)
            if request in self._answers:
                return self._answers[request][0]
        raise Missing(f"the server {'ended' if arrived else 'is late'}\n{self.said()}")

    def arrival(self, request: int) -> float:
        """When the answer to a request was read, on the monotonic clock."""
        return self._answers[request][1]

    def has_answered(self, request: int) -> bool:
        """Whether anything came back for a request by now."""
        return request in self._answers

    def answer(self, request: int, within: float = PATIENT) -> Any:
        """The structured content of a tool's answer. Raises the Refusal that it is, or Missing."""
        message = self.message(request, within)
        assert "result" in message, f"{message}\n{self.said()}"
        content = message["result"]["structuredContent"]
        if not message["result"].get("isError"):
            return content
        error = dict(content["error"])
        error.pop("retryable")
        raise _REFUSALS[error.pop("code")](error.pop("message"), **error)

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool. Raises the Refusal that the server answered, or Missing."""
        return self.answer(self.send(tool, **arguments))

    def refusal(self, tool: str, **arguments: Any) -> Refusal | None:
        """How a call was refused, or None where it was not."""
        try:
            self.call(tool, **arguments)
        except Refusal as refusal:
            return refusal
        return None

    def timed(self, method: str, **params: Any) -> float:
        """Seconds from a request to its answer."""
        began = time.monotonic()
        request = self.ask(method, **params)
        self.message(request)
        return self.arrival(request) - began

    def ready(self) -> Wire:
        """Wait until the server has opened its database, and return it."""
        self.call("feature_get_stats")
        return self

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the server."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """End the server's input."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def go(self) -> None:
        """Vanish as a client that was killed does: nobody writes to the server, nobody reads from it."""
        self._stop_listening()
        self.hang_up()

    def status(self, within: float = 10.0) -> int:
        """The exit status of a server that ends by itself."""
        return self.process.wait(within)

    def finish(self) -> int:
        """End the input, and return the exit status."""
        self.hang_up()
        return self.status()

    def said(self) -> str:
        """The last lines that the server wrote to standard error, also on its way out."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self.errors.seek(0)
        return "\n".join(self.errors.read().decode(errors="replace").splitlines()[-12:])

    def close(self) -> None:
        """Kill what still runs, and give every descriptor back."""
        self.kill()
        self.process.wait()
        self.hang_up()
        self._stop_listening()
        os.close(self._deaf)
        os.close(self._deafen)
        self.errors.close()

    def _stop_listening(self) -> None:
        assert self.process.stdout is not None
        os.write(self._deafen, b".")
        self._listener.join()
        self.process.stdout.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        wire = self.process.stdout.fileno()
        unfinished = b""
        while self._deaf not in select.select([wire, self._deaf], [], [])[0]:
            data = os.read(wire, 1 << 16)
            if not data:
                break
            *lines, unfinished = (unfinished + data).split(b"\n")
            self._take(lines, time.monotonic())
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, lines: Sequence[bytes], now: float) -> None:
        messages = [json.loads(line) for line in lines]
        with self._news:
            for message in messages:
                if "id" in message and "method" not in message:
                    self._answers[message["id"]] = (message, now)
            self._news.notify_all()


def _start(
    command: Sequence[str], environment: Mapping[str, str], errors: IO[bytes]
) -> subprocess.Popen[bytes] | Born:
    whole = {**os.environ, **environment}
    if is_plain(command, environment):
        return Born(command, whole, errors)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=whole)


def up(*servers: Wire) -> list[Wire]:
    """Servers that start beside each other, once each has opened its database."""
    return [server.ready() for server in servers]


def command_on(db: object, *flags: str) -> list[str]:
    """The command line of a server on a database."""
    return [sys.executable, "-m", "dibs", "serve", "--db", str(db), *flags]


@contextmanager
def wires(db: object) -> Iterator[Start]:
    """A way to start servers on a database, which all end with the block."""
    started: list[Wire] = []

    def start(*flags: str, on: object = None, prefix: Sequence[str] = (), **environment: str) -> Wire:
        wire = Wire([*prefix, *command_on(on or db, *flags)], environment)
        started.append(wire)
        return wire

    try:
        yield start
    finally:
        for wire in started:
            wire.close()
