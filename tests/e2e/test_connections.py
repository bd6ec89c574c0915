"""Clients connect by their own commands, and a harness calls a tool through one of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from e2e.backlog import Backlog
from e2e.clients import NOWHERE, Claude, Client, Codex, Gemini, Opencode, Place
from e2e.conftest import NewProject
from e2e.running import run_program

TRIES = 4
"""The most attempts. The clients wait only a few seconds for a server, which a busy machine may need to start it."""

LISTS: dict[str, tuple[Client, str]] = {
    "claude": (Claude(), "features: {command} - ✔ Connected"),
    "opencode": (Opencode(), "✓ features connected"),
    "gemini": (Gemini(), "✓ features: {command} (stdio) - Connected"),
}


@pytest.mark.parametrize("name", LISTS)
def test_mcp_list_says_that_the_server_is_connected(name: str, backlog: Backlog, new_project: NewProject) -> None:
    """`claude mcp list`, `opencode mcp list` and `gemini mcp list` start the server and report it as connected."""
    client, words = LISTS[name]
    place = new_project(backlog)
    client.register(place)
    for _ in range(TRIES):
        listed = list_servers(client, place)
        if words.format(command=" ".join(place.command)) in listed:
            return
    raise AssertionError(listed)


def list_servers(client: Client, place: Place) -> str:
    """Return what the client prints about its servers."""
    return run_program(client, place, "mcp", "list").replace("\x1b[90m", "")


class AppServer:
    """`codex app-server`: JSON-RPC on standard input and output, a line each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last = 0

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request, skip notifications, and return the result."""
        self._last += 1
        self._send({"method": method, "id": self._last, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._last and "method" not in message:
                assert "result" in message, message
                return message["result"]
        raise AssertionError(f"no answer to {method}")

    def tell(self, method: str) -> None:
        """Send a notification."""
        self._send({"method": method})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@contextmanager
def app_server(place: Place) -> Iterator[AppServer]:
    """The app server of a Codex that knows Dibs."""
    codex = Codex()
    codex.register(place)
    process = subprocess.Popen(
        ["codex", "app-server"],
        cwd=place.project,
        env=codex.environment(place, NOWHERE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        yield AppServer(process)
        assert process.stdin is not None
        process.stdin.close()


def test_codex_app_server_calls_a_tool(backlog: Backlog, new_project: NewProject) -> None:
    """Through `codex app-server` a harness claims a feature, and is refused, with both channels of the answer."""
    backlog.add_plain(1)
    place = new_project(backlog)
    with app_server(place) as server:
        server.ask("initialize", clientInfo={"name": "harness", "version": "1"})
        server.tell("initialized")
        thread = server.ask("thread/start", cwd=str(place.project))["thread"]["id"]
        call = {"threadId": thread, "server": "features"}
        claimed = server.ask("mcpServer/tool/call", **call, tool="feature_claim_and_get", arguments={})
        refused = server.ask("mcpServer/tool/call", **call, tool="feature_mark_passing", arguments={"feature_id": 9})
    assert claimed["structuredContent"]["feature"]["id"] == 1
    assert json.loads(claimed["content"][0]["text"]) == claimed["structuredContent"]
    assert refused["isError"] is True
    assert refused["structuredContent"]["error"]["code"] == "not_found"
