"""A model server on loopback that answers with the calls of a script, in any of the protocols."""

from __future__ import annotations

import json
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from e2e.script import Call, Script, Shown

SEARCHES = 8
"""How often a model repeats the search for a tool that it has not found."""


@dataclass(frozen=True)
class Definition:
    """A tool as the client offers it to the model."""

    name: str
    description: str
    schema: dict[str, Any]
    raw: dict[str, Any]
    namespace: str = ""


@dataclass(frozen=True)
class Turn:
    """One request of a client to its model."""

    tools: list[Definition]
    shown: list[Shown]
    words: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The model's answer: a call with its id and the client's name of the tool, or the end of the turn."""

    call_id: str = ""
    tool: Definition | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


class Dialect(ABC):
    """One protocol's format of a client's requests and a model's answers."""

    path: str

    finder = ""
    """The tool with which a model loads definitions that it did not get at first."""

    @abstractmethod
    def read(self, body: dict[str, Any]) -> Turn:
        """Parse a request."""

    def query(self, *tools: str) -> dict[str, Any]:
        """Return the search tool's arguments that load tools of Dibs."""
        return {"query": " ".join(tools), "limit": max(8, 2 * len(tools))}

    @abstractmethod
    def events(self, answer: Answer, model: str) -> Iterator[tuple[str | None, dict[str, Any] | str]]:
        """The stream's events: a name, where the protocol has names, and the data."""


class Model:
    """A model that follows a script in the one conversation with tools, and also answers other requests."""

    def __init__(self, dialect: Dialect, script: Script) -> None:
        self.dialect = dialect
        self.url = ""
        self.turns: list[Turn] = []
        self.others: list[tuple[str, str, Any]] = []
        self.failure: BaseException | None = None
        self._script = script
        self._answers: dict[str, Answer] = {}
        self._earlier: set[str] = set()  # the calls before the script, in a conversation that goes on
        self._prefix = f"call_{secrets.token_hex(2)}"
        self._last_call = ""
        self._waiting: Call | None = None
        self._sought: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def tools(self) -> dict[str, Definition]:
        """Dibs' tools by their own names, as the conversation's last request offered them."""
        return {own_name(one.name): one for one in self.turns[-1].tools if own_name(one.name)}

    @property
    def shown(self) -> list[Shown]:
        """Every result that the client showed to the model, once each, in order."""
        found: dict[str, Shown] = {}
        for turn in self.turns:
            for one in turn.shown:
                found.setdefault(one.call_id, one)
        return [one for call, one in found.items() if call not in self._earlier]

    def reply(self, body: dict[str, Any]) -> Answer:
        """Answer a request with the script's next call, or a retry with the same call again."""
        turn = self.dialect.read(body)
        with self._lock:
            if not (any(own_name(one.name) for one in turn.tools) or self._finder(turn)):
                self.others.append(("POST", self.dialect.path, body))
                return Answer()  # such as a title for the conversation
            if not self.turns:
                self._earlier = {one.call_id for one in turn.shown}
            self.turns.append(turn)
            last = turn.shown[-1] if turn.shown and turn.shown[-1].call_id not in self._earlier else None
            key = last.call_id if last else ""
            if key not in self._answers:
                assert key == self._last_call, f"the client shows {key}, the model waits for {self._last_call}"
                self._answers[key] = self._next(turn, last)
            return self._answers[key]

    def _next(self, turn: Turn, last: Shown | None) -> Answer:
        call, self._waiting = self._waiting, None
        try:
            if call is None:
                call = next(self._script) if last is None else self._script.send(last)
        except StopIteration:
            return Answer()
        except Exception as failure:  # noqa: BLE001 - it is raised again in the test's own thread
            self.failure = failure
            return Answer()
        self._last_call = f"{self._prefix}_{len(self._answers) + 1:04}"
        tool = offered(call.tool, turn.tools)
        if tool is None and self._finder(turn) and self._sought[call.tool] < SEARCHES:
            self._sought[call.tool] += 1
            self._waiting = call
            time.sleep(self._sought[call.tool] - 1)  # a server may be about to connect
            return Answer(self._last_call, self._finder(turn), self.dialect.query(call.tool))
        return Answer(self._last_call, tool or guessed(call.tool, turn.tools), call.arguments)

    def _finder(self, turn: Turn) -> Definition | None:
        return next((one for one in turn.tools if one.name == self.dialect.finder), None)


def own_name(name: str) -> str:
    """Return a tool's own name from the client's name, or nothing if it is not a tool of Dibs."""
    for start in ("feature_", "ask_user"):
        if start in name:
            return name[name.index(start) :]
    return ""


def offered(tool: str, tools: list[Definition]) -> Definition | None:
    """Return the definition that the client offers for a tool, by the tool's own name or by the client's name for it."""
    return next((one for one in tools if tool in (one.name, own_name(one.name))), None)


def guessed(tool: str, tools: list[Definition]) -> Definition:
    """Return a definition for a tool that the client does not offer, under the client's name for it."""
    ours = next((one for one in tools if own_name(one.name)), None)
    prefix = ours.name[: ours.name.index(own_name(ours.name))] if ours else ""
    return Definition(prefix + tool, "", {}, {}, ours.namespace if ours else "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self) -> None:
        self.model.others.append(("GET", self.path, None))
        self._send(b'{"data":[],"models":[]}', "application/json")

    def do_HEAD(self) -> None:
        self._send(b"", "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if not self.path.split("?")[0].endswith(self.model.dialect.path):
            self.model.others.append(("POST", self.path, body))
            self._send(b"{}", "application/json")
            return
        try:
            answer = self.model.reply(body)
        except Exception as failure:
            self.model.failure = failure
            self._send(b'{"error":{"type":"invalid_request_error","message":"off script"}}', "application/json", 400)
            raise
        lines = []
        for name, data in self.model.dialect.events(answer, body.get("model", "scripted")):
            event = f"event: {name}\n" if name else ""
            lines.append(f"{event}data: {data if isinstance(data, str) else json.dumps(data)}\n\n")
        self._send("".join(lines).encode(), "text/event-stream")

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore closed connections of killed clients; keep other errors for the test's thread."""


@contextmanager
def serving(dialect: Dialect, script: Script) -> Iterator[Model]:
    """Run a model server during the block; its errors are raised at the end."""
    model = Model(dialect, script)
    handler = type("Handler", (_Handler,), {"model": model})
    with _Server(("127.0.0.1", 0), handler) as server:
        model.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield model
        finally:
            server.shutdown()
            thread.join()
    if model.failure:
        raise model.failure
