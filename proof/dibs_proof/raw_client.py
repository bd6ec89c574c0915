"""A JSON-RPC client over stdio that can pipeline, cancel, hang up, stop and kill, and that times every answer.

The other proofs use a real MCP client. This client does what a real one cannot do or hides: it sends several requests at
once, never awaits a request, leaves an answer unread, and measures times without the client's own work.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, ClassVar, Protocol, Self

from dibs.platform.pipes import readable
from dibs.platform.signals import KILL
from dibs_schema.refusals import Refusal, all_codes

Message = dict[str, Any]

OPENING: list[Message] = [
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "raw-client", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]
"""The messages that open a connection."""
CHUNK = 1 << 16
LOG_LINES = 12

_REFUSALS = all_codes()


class Process(Protocol):
    """The part of `subprocess.Popen` that the client uses."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raises subprocess.TimeoutExpired."""

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal, unless the process has ended."""


StartProcess = Callable[[Sequence[str], Mapping[str, str], IO[bytes]], Process]
"""Starts a server: its command, its whole environment, and the file for its standard error."""


class MissingAnswer(Exception):  # noqa: N818 - it names what is missing
    """An answer did not come: the server has ended, or took too long."""


def start_process(command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> Process:
    """Start the server as a child process with unbuffered pipes."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=dict(environment), bufsize=0
    )


class RawClient:
    """One server process and the two ends of its pipes.

    `ask` and `send` send a request and return its id at once; `message` and `answer` wait for its answer. A thread reads
    each answer when it arrives, so a slow caller does not block the server, and arrival times are exact. With
    `threaded=False` a call that waits reads the answers, which keeps thread switches out of a measurement. Times are in
    seconds of `time.monotonic`.
    """

    answer_timeout: ClassVar[float] = 60.0
    """Seconds after which an answer counts as missing."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        opening: Sequence[Message] = OPENING,
        *,
        start: StartProcess = start_process,
        threaded: bool = True,
    ) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.started_at = time.monotonic()
        self.process = start(command, {**os.environ, **(environment or {})}, self.stderr)
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        self._arrived: dict[Any, tuple[Message, float]] = {}
        self._sent: dict[int, float] = {}
        self._arrival = threading.Condition()
        self._ended = False
        self._unfinished = b""
        self._last_id = 0
        self._stop, self._stopper = os.pipe()
        self._reader = threading.Thread(target=self._read_all, daemon=True) if threaded else None
        if self._reader is not None:
            self._reader.start()
        for message in opening:
            self.write(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor that answers are read from, so that a selector can wait for several servers."""
        return self._out

    def write(self, message: Message) -> float:
        """Send one message, and return the time. Raises BrokenPipeError."""
        return self.write_bytes(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def write_bytes(self, data: bytes) -> float:
        """Send bytes unchanged, and return the time. Raises BrokenPipeError."""
        assert self.process.stdin is not None
        sent = time.monotonic()
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) or 0 :]
        self.process.stdin.flush()
        return sent

    def ask(self, method: str, **params: Any) -> int:
        """Send a request, and return its id."""
        self._last_id += 1
        number = self._last_id
        self._sent[number] = self.write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def send(self, tool: str, **arguments: Any) -> int:
        """Send a call of a tool, and return its id."""
        return self.ask("tools/call", name=tool, arguments=arguments)

    def cancel(self, request: int) -> None:
        """Cancel a request."""
        self.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}})

    def message(self, request: int, within: float | None = None) -> Message:
        """Return the message that answers a request. Raises MissingAnswer after `within` seconds."""
        within = self.answer_timeout if within is None else within
        if self._reader is None:
            self._read_until(request, time.monotonic() + within)
        with self._arrival:
            if self._reader is not None:
                self._arrival.wait_for(lambda: request in self._arrived or self._ended, within)
            if request in self._arrived:
                return self._arrived[request][0]
        raise MissingAnswer(f"the server {'ended' if self._ended else 'is late'}\n{self.log()}")

    def answer(self, request: int, within: float | None = None) -> Any:
        """Return the structured content of a tool's answer. Raises Refusal, or MissingAnswer."""
        message = self.message(request, within)
        assert "result" in message, f"{message}\n{self.log()}"
        content = message["result"]["structuredContent"]
        if not message["result"].get("isError"):
            return content
        error = dict(content["error"])
        error.pop("retryable")
        raise _REFUSALS[error.pop("code")](error.pop("message"), **error)

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool, and wait for its answer. Raises Refusal, or MissingAnswer."""
        return self.answer(self.send(tool, **arguments))

    def refusal(self, tool: str, **arguments: Any) -> Refusal | None:
        """Call a tool, and return its refusal, or None if it was not refused."""
        try:
            self.call(tool, **arguments)
        except Refusal as refusal:
            return refusal
        return None

    def has_answered(self, request: int) -> bool:
        """Return whether the answer to a request has arrived."""
        return request in self._arrived

    def arrival(self, request: int) -> float:
        """Return the time at which the answer to a request was read."""
        return self._arrived[request][1]

    def seconds(self, request: int) -> float:
        """Return the time between a request and its answer, in seconds."""
        return self.arrival(request) - self._sent[request]

    def timed(self, method: str, **params: Any) -> float:
        """Send a request, wait for its answer, and return how long it took, in seconds."""
        request = self.ask(method, **params)
        self.message(request)
        return self.seconds(request)

    def ready(self) -> Self:
        """Wait until the server has opened its database, and return the client."""
        self.call("feature_get_stats")
        return self

    def kill(self, number: int = KILL) -> None:
        """Send a signal to the server."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """End the server's input."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def vanish(self) -> None:
        """Close both pipes, as the death of a client does."""
        self._stop_reading()
        self.hang_up()

    def status(self, within: float = 10.0) -> int:
        """Wait up to `within` seconds for the server to end, and return its exit status."""
        return self.process.wait(within)

    def finish(self) -> int:
        """End the input, and return the exit status."""
        self.hang_up()
        return self.status()

    def log(self) -> str:
        """Return the last lines of the server's standard error; wait up to a second for its end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self.stderr.seek(0)
        return "\n".join(self.stderr.read().decode(errors="replace").splitlines()[-LOG_LINES:])

    def close(self) -> None:
        """Kill the server if it still runs, and close every descriptor."""
        self.kill()
        self.process.wait()
        self.hang_up()
        self._stop_reading()
        os.close(self._stop)
        os.close(self._stopper)
        self.stderr.close()

    def _stop_reading(self) -> None:
        assert self.process.stdout is not None
        os.write(self._stopper, b".")
        if self._reader is not None:
            self._reader.join()
        self.process.stdout.close()

    def _read_all(self) -> None:
        while self._stop not in readable([self._out, self._stop]) and self._read():
            pass
        self._end()

    def _read_until(self, request: int, deadline: float) -> None:
        while request not in self._arrived and not self._ended:
            left = deadline - time.monotonic()
            if left <= 0 or not readable([self._out], left):
                return
            if not self._read():
                self._end()

    def _read(self) -> bool:
        """Read what has arrived, and return False at the end of the server's output."""
        data = os.read(self._out, CHUNK)
        now = time.monotonic()
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        if lines:
            self._take(lines, now)
        return bool(data)

    def _take(self, lines: Sequence[bytes], now: float) -> None:
        messages = [json.loads(line) for line in lines]
        with self._arrival:
            for message in messages:
                if "id" in message and "method" not in message:
                    self._arrived[message["id"]] = (message, now)
            self._arrival.notify_all()

    def _end(self) -> None:
        with self._arrival:
            self._ended = True
            self._arrival.notify_all()
