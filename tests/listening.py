"""A real server over HTTP, and a client that speaks to it by hand: any revision, any header, any early end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from dibs_schema.refusals import Refusal, all_codes
from races.fork_server import ForkedServer, is_plain

SERVER = [sys.executable, "-m", "dibs", "serve", "--http", "0"]
ANNOUNCED = re.compile(r"^dibs: serving (\S+)\n", re.MULTILINE)
STATEFUL = "2025-11-25"
STATELESS = "2026-07-28"
STARTING = 30.0
"""Seconds within which a server must listen."""
LONGEST = 1 << 20
"""The most bytes that a server may write to standard error."""
ACCEPT = {"accept": "application/json, text/event-stream"}
CLIENT = {"name": "by-hand", "version": "1"}
META = "io.modelcontextprotocol/"


class Listening:
    """A server process that listens on a port of its own."""

    def __init__(self, command: Sequence[str], files: tuple[int, int] | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.process = self._start(command, files)
        self.url = self._announced()

    def _start(self, command: Sequence[str], files: tuple[int, int] | None) -> subprocess.Popen[bytes] | ForkedServer:
        if files is None and is_plain(command, {}):
            return ForkedServer(command, os.environ, self._errors)
        if files is not None:
            command = ["prlimit", f"--nofile={files[0]}:{files[1]}", *command]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)

    def _announced(self) -> str:
        deadline = time.monotonic() + STARTING
        while (found := ANNOUNCED.search(said := self.said())) is None:
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
        return found[1]

    def said(self) -> str:
        """Return what the server wrote to standard error."""
        return os.pread(self._errors.fileno(), LONGEST, 0).decode()

    def end(self) -> int:
        """Send SIGTERM, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """Kill the server if it still runs."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self._errors.close()


@contextmanager
def listening(db: object, *flags: str, files: tuple[int, int] | None = None) -> Iterator[Listening]:
    """Run a server over HTTP on the database `db` during the block, with soft and hard limits of open `files`."""
    server = Listening([*SERVER, "--db", str(db), *flags], files)
    try:
        yield server
    finally:
        server.close()


class Caller:
    """One client of a server over HTTP: one session, or separate calls in the stateless revision."""

    def __init__(self, url: str, revision: str = STATEFUL, headers: Mapping[str, str] = {}) -> None:
        self._http = httpx2.Client(timeout=60, headers={**ACCEPT, **headers})
        self._url = url
        self._revision = revision
        self._last_id = 0
        self.session: str | None = None
        if revision != STATELESS:
            self._shake_hands()

    def _shake_hands(self) -> None:
        asked = {"protocolVersion": self._revision, "capabilities": {}, "clientInfo": CLIENT}
        answer = self.post("initialize", asked)
        assert read(answer)["result"]["protocolVersion"] == self._revision, answer.text
        self.session = answer.headers["mcp-session-id"]
        self._http.headers |= {"mcp-session-id": self.session, "mcp-protocol-version": self._revision}
        told = self._http.post(self._url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert told.status_code == 202

    def request(self, method: str, params: Mapping[str, Any]) -> httpx2.Request:
        """Return the HTTP request of a call in the form of the revision."""
        self._last_id += 1
        headers, whole = {}, dict(params)
        if self._revision == STATELESS:
            headers = {"mcp-protocol-version": STATELESS, "mcp-method": method}
            if "name" in params:
                headers["mcp-name"] = params["name"]
            whole["_meta"] = {
                f"{META}protocolVersion": STATELESS,
                f"{META}clientInfo": CLIENT,
                f"{META}clientCapabilities": {},
            }
        body = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": whole}
        content = json.dumps(body).encode()  # ASCII, also where there is half of a surrogate pair
        headers["content-type"] = "application/json"
        return self._http.build_request("POST", self._url, content=content, headers=headers)

    def post(self, method: str, params: Mapping[str, Any]) -> httpx2.Response:
        """Send a request and return the whole response."""
        return self._http.send(self.request(method, params))

    def call(self, tool: str, **arguments: Any) -> Any:
        """Return the structured content of a tool's answer. Raises a Refusal if the answer is one."""
        return content(read(self.post("tools/call", {"name": tool, "arguments": arguments})))

    def refusal(self, tool: str, **arguments: Any) -> Refusal:
        """Make a call that must be refused, and return the refusal."""
        try:
            answer = self.call(tool, **arguments)
        except Refusal as refusal:
            return refusal
        raise AssertionError(f"{tool} was not refused: {answer}")

    def call_and_leave(self, tool: str, after: float, **arguments: Any) -> None:
        """Send a call, and close the connection `after` seconds later without reading the answer."""
        request = self.request("tools/call", {"name": tool, "arguments": arguments})
        request.extensions["timeout"] = dict.fromkeys(("connect", "write", "pool"), 10) | {"read": after}
        try:
            self._http.send(request)
        except httpx2.ReadTimeout:
            return
        raise AssertionError("the answer came before the client left")

    def open_stream(self) -> httpx2.Response:
        """Open the stream of the server's notifications, and return it."""
        request = self._http.build_request("GET", self._url, headers={"accept": "text/event-stream"})
        return self._http.send(request, stream=True)

    def end_session(self) -> int:
        """End the session as a client that has finished does, and return the HTTP status."""
        return int(self._http.delete(self._url).status_code)

    def close(self) -> None:
        """Close the connections without ending the session."""
        self._http.close()


def read(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON-RPC answer in a response, which is JSON or the last event of a stream."""
    assert response.status_code == 200, f"{response.status_code} {response.text}"
    if response.headers["content-type"].startswith("application/json"):
        message: dict[str, Any] = response.json()
        return message
    lines = re.split(r"\r\n|\n|\r", response.text)  # the ends of lines in a stream of events, and no others
    events = [line[5:] for line in lines if line.startswith("data:") and line[5:].strip()]
    last: dict[str, Any] = json.loads(events[-1])
    return last


def content(message: Mapping[str, Any]) -> Any:
    """Return the structured content of a tool's answer. Raises a Refusal if the answer is one."""
    assert "result" in message, message
    told = message["result"]["structuredContent"]
    if not message["result"].get("isError"):
        return told
    error = dict(told["error"])
    error.pop("retryable")
    raise all_codes()[error.pop("code")](error.pop("message"), **error)
