"""The page of the MCP App in a real browser, within a host that passes its calls to a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from playwright.sync_api import Browser, FrameLocator, Page, expect

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_proof.raw_client import Message
from dibs_schema.status import Status
from races.servers import ServerClient, command_on
from verbs.stage import ask_question, place, row

pytestmark = pytest.mark.only_on("sqlite", reason="the browser sees no engine")

URI = "ui://dibs/overview.html"
HOSTILE = "</script><script>parent.broken = 1</script><img src=x onerror='a()'>"
CAPABILITIES = {"extensions": {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}}}
OPENING: list[Message] = [
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": CAPABILITIES,
            "clientInfo": {"name": "host", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]
HOST = """
window.seen = [];
addEventListener("message", async ({ source, data }) => {
  window.seen.push(data.method);
  if (data.id === undefined) return;
  const result = data.method === "ui/initialize"
    ? { protocolVersion: "2026-01-26", hostInfo: { name: "host", version: "1" }, hostCapabilities: { serverTools: {} },
        hostContext: { theme: "dark" } }
    : await window.callServer(data.method, data.params);
  source.postMessage({ jsonrpc: "2.0", id: data.id, result }, "*");
});
"""


@pytest.fixture
def backlog(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[tuple[str, Database]]:
    """A database of the test's own, and its name."""
    with new_db() as name:
        opened = open_database(Settings(db=name))
        yield name, opened
        opened.close(patience=5)


def host(browser: Browser, server: ServerClient) -> tuple[Page, FrameLocator, list[str]]:
    """Open the app in a sandboxed frame of a host. Returns the host's page, the frame, and the faults of both."""
    faults: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: faults.append(asked.url) if asked.url.startswith("http") else None)

    def call(method: str, params: dict[str, Any]) -> Any:
        return server.message(server.ask(method, **params))["result"]

    page.expose_function("callServer", call)
    document = server.message(server.ask("resources/read", uri=URI))["result"]["contents"][0]["text"]
    page.set_content("<!doctype html><title>host</title><iframe sandbox='allow-scripts' id='app'></iframe>")
    page.evaluate(HOST)
    page.eval_on_selector("#app", "(frame, text) => { frame.srcdoc = text; }", document)
    return page, page.frame_locator("#app"), faults


def test_a_person_answers_in_the_page(browser: Browser, backlog: tuple[str, Database]) -> None:
    """The page shows hostile texts as texts, asks for what is required, and an answer reaches the feature."""
    db, opened = backlog
    asking = place(opened, Status.NEEDS_HUMAN, name=HOSTILE)
    place(opened, Status.STUCK, name=HOSTILE)
    ask_question(opened)
    server = ServerClient(command_on(db), opening=OPENING)
    try:
        page, frame, faults = host(browser, server)
        card = frame.locator("li", has_text="Please decide.")
        expect(card.locator("h3")).to_have_text(f"{asking.id} {HOSTILE}")
        expect(frame.get_by_label("8080")).to_be_visible()
        card.get_by_role("button", name="Answer").click()
        expect(card.get_by_role("alert")).to_have_text("“Which colour?” needs an answer.")
        card.get_by_label("Which colour?").fill("blue")
        card.get_by_role("button", name="Answer").click()
        expect(card).to_have_count(0)
        assert row(opened, asking.id)["human_answer"]["answers"] == {"colour": "blue"}
        assert page.evaluate("window.broken") is None
        assert {"ui/initialize", "ui/notifications/initialized", "ui/notifications/size-changed"} <= set(
            page.evaluate("window.seen")
        )
        assert faults == []
        page.close()
    finally:
        server.close()
