"""A plain JSON-RPC client of a server over pipes, with as little overhead as possible."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NOOP = [sys.executable, str(Path(__file__).with_name("noop_server.py"))]

_INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "0"},
}


def dibs(database: Path) -> list[str]:
    """Return the command that serves the backlog in `database`."""
    return [sys.executable, "-m", "dibs", "serve", "--db", str(database)]


class Failed(Exception):  # noqa: N818 - it reads as what happened
    """The server gave an answer that the benchmark cannot use."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request without an answer yet, and the reading of `time.perf_counter` when it was sent."""

    id: int
    line: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer, and the readings of `time.perf_counter` when its request was sent and when it was complete."""

    answer: dict[str, Any]
    sent: float
    came: float

    @property
    def seconds(self) -> float:
        """Return the time from the request to the answer, in seconds."""
        return self.came - self.sent


class Server:
    """A server process; `spawned_at` is the reading of `time.perf_counter` just before it was started."""

    def __init__(self, command: list[str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DIBS_")}
        self.spawned_at = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._last_id = 0
        self._arrived: dict[int, tuple[dict[str, Any], float]] = {}

    def fileno(self) -> int:
        """Return the descriptor of the server's output, so that a selector can wait for several servers."""
        return self._out

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its input and wait for its exit."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def initialize(self) -> Timed:
        """Send `initialize`, then the notification that the client is initialized."""
        answered = self.request("initialize", _INITIALIZE)
        os.write(self._in, _line({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        return answered

    def end(self, number: signal.Signals, within: float = 20) -> float:
        """Send the signal, and return how long it took, in seconds, until the process exited.

        Raises Failed if that takes more than `within` seconds, or the status is not 0 (SIGKILL aside).
        Source: pidfd_open(2); `Popen.wait` with a timeout would look every 50 ms.
        """
        if sys.platform != "linux":
            raise Failed("only Linux says at once that a process has ended")
        gone = os.pidfd_open(self.pid)
        try:
            began = time.perf_counter()
            self._process.send_signal(number)
            if not select.select([gone], [], [], within)[0]:
                raise Failed(f"{number.name}: it still runs after {within:g} s")
            seconds = time.perf_counter() - began
        finally:
            os.close(gone)
        status = self._process.wait()
        if status != (-number if number is signal.SIGKILL else 0):
            raise Failed(f"{number.name}: it ended with status {status}")
        return seconds

    def call(self, tool: str, arguments: dict[str, Any]) -> Timed:
        """Call a tool, and wait for its answer. Raises Failed if the answer is an error."""
        return self.receive(self.ask(tool, arguments))

    def ask(self, tool: str, arguments: dict[str, Any]) -> Sent:
        """Call a tool, and receive its answer later."""
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def request(self, method: str, params: dict[str, Any]) -> Timed:
        """Send one request and wait for its answer. Raises Failed if the answer is an error."""
        return self.receive(self.send(method, params))

    def send(self, method: str, params: dict[str, Any]) -> Sent:
        """Send one request, and receive its answer later. Raises Failed if the server has exited."""
        self._last_id += 1
        line = _line({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        sent = Sent(self._last_id, line, time.perf_counter())
        try:
            os.write(self._in, line)
        except BrokenPipeError:
            raise Failed(f"the server has ended: {self._process.args!r}") from None
        return sent

    def receive(self, sent: Sent, *, refusals: bool = False) -> Timed:
        """Wait for an answer. Answers to other requests are kept; other messages are dropped.

        Raises Failed if the answer is an error; with `refusals`, a tool's refusal is accepted.
        """
        while sent.id not in self._arrived:
            data = self._read_lines()
            came = time.perf_counter()
            for line in data.splitlines():
                message: dict[str, Any] = json.loads(line)
                self._arrived[message.get("id", 0)] = message, came
        message, came = self._arrived.pop(sent.id)
        if "result" not in message or (message["result"].get("isError") and not refusals):
            raise Failed(f"{sent.line!r}: {message}")
        return Timed(message["result"], sent.at, came)

    def processor_seconds(self) -> float:
        """Return the CPU time in seconds that all threads of the server have used so far, user and system.

        /proc/PID/stat has ticks of 10 ms, too coarse for one call. Linux derives the clock's id
        from the process's. Source: clock_getcpuclockid(3) in glibc, MAKE_PROCESS_CPUCLOCK in the kernel.
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def memory(self) -> tuple[int, int]:
        """Return RSS and PSS in KiB. Source: proc_pid_smaps_rollup in proc(5)."""
        rows = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        sizes = {row.split(":")[0]: int(row.split()[1]) for row in rows}
        return sizes["Rss"], sizes["Pss"]

    def _read_lines(self) -> bytes:
        data = os.read(self._out, 1 << 16)
        while not data.endswith(b"\n"):
            more = os.read(self._out, 1 << 16)
            if not more:
                raise Failed(f"the server has ended; its last output was {data!r}")
            data += more
        return data


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
