"""The overview as an MCP App: for clients that announce it, in both eras, and not a byte for the others."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import mcp
import pytest
from mcp.client.extension import advertise
from mcp.client.stdio import StdioServerParameters
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from dibs.database import open_database
from dibs.platform.users import user_name
from dibs.settings import Settings
from dibs_schema.status import Status
from verbs.stage import ask_question, journal, place, row

pytestmark = pytest.mark.anyio

URI = "ui://dibs/overview.html"
READ, ANSWER = "overview_app_read", "overview_app_answer"
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def db(new_db: Callable[[], AbstractContextManager[str]]) -> Any:
    """A database of the test's own."""
    with new_db() as name:
        yield name


@asynccontextmanager
async def client(db: str, mode: str, *, role: str = "all", renders: bool = True) -> AsyncIterator[mcp.Client]:
    """A client of the SDK, in one of the protocol's eras, that renders apps or not."""
    flags = ["--db", db, "--project", "default", "--role", role]
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "dibs", "serve", *flags])
    extensions = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})] if renders else []
    async with mcp.Client(parameters, mode=mode, extensions=extensions) as connected:
        yield connected


async def seen(connected: mcp.Client) -> str:
    """Return every definition and resource that a client lists, as JSON."""
    tools, resources = await connected.list_tools(), await connected.list_resources()
    return json.dumps([one.model_dump(mode="json", by_alias=True) for one in [*tools.tools, *resources.resources]])


@ERAS
async def test_a_client_that_announces_it_can_render_the_overview(db: str, mode: str) -> None:
    """The overview's tool links the page; the app's tools are hidden from the model; the page is of the right type."""
    async with client(db, mode) as connected:
        tools = {one.name: one for one in (await connected.list_tools()).tools}
        assert tools["feature_get_overview"].meta == {"ui": {"resourceUri": URI}}
        assert [(tools[name].meta or {})["ui"]["visibility"] for name in (READ, ANSWER)] == [["app"], ["app"]]
        assert URI in [str(one.uri) for one in (await connected.list_resources()).resources]
        (content,) = (await connected.read_resource(URI)).contents
        assert content.mime_type == APP_MIME_TYPE
        assert content.meta == {"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}}


@ERAS
async def test_other_clients_see_nothing_of_it(db: str, mode: str) -> None:
    """A client that does not announce it lists what it listed before, and can neither read the page nor call its tools."""
    async with client(db, mode) as rendering, client(db, mode, renders=False) as plain:
        bare = await seen(plain)
        assert not {URI, READ, ANSWER} & set(re.findall(r'[^"]+', bare))
        assert '"ui"' not in bare
        tools = [one for one in (await rendering.list_tools()).tools if one.name not in (READ, ANSWER)]
        for one in tools:
            if one.name == "feature_get_overview":
                one.meta = None
        assert [one.model_dump() for one in tools] == [one.model_dump() for one in (await plain.list_tools()).tools]
        with pytest.raises(MCPError):
            await plain.read_resource(URI)
        refused = await plain.call_tool(READ, {})
        assert refused.is_error
        assert "There is no tool" in str(refused.structured_content)


@pytest.mark.only_on("sqlite", reason="a role has its tools on every engine")
@pytest.mark.parametrize(
    ("role", "tools"), [("coder", []), ("tester", []), ("viewer", [READ]), ("planner", [READ, ANSWER])]
)
async def test_a_role_has_what_its_other_tools_allow(db: str, role: str, tools: list[str]) -> None:
    """Only roles with the overview have the page, and only those that answer agents can answer on it."""
    async with client(db, "legacy", role=role) as connected:
        listed = [one.name for one in (await connected.list_tools()).tools]
        assert [name for name in listed if name in (READ, ANSWER)] == tools
        for name in {READ, ANSWER} - set(tools):
            assert (await connected.call_tool(name, {"feature_id": 1, "answers": {"a": "b"}})).is_error


@ERAS
async def test_a_person_answers_on_the_page(db: str, mode: str) -> None:
    """The page reads whole forms, and an answer is recorded under this machine's user."""
    async with client(db, mode) as connected:
        await connected.call_tool("feature_get_stats", {})
        backlog = open_database(Settings(db=db))
        asking = place(backlog, Status.NEEDS_HUMAN, name=HOSTILE)
        number = ask_question(backlog)
        shown = (await connected.call_tool(READ, {})).structured_content
        assert shown is not None
        request, question = shown["forms"]
        assert (request["id"], request["name"], request["fields"][0]["name"]) == (asking.id, HOSTILE, "colour")
        assert [one["label"] for one in question["fields"][0]["options"]] == ["80", "8080"]
        assert shown["may_answer"] is True
        done = await connected.call_tool(ANSWER, {"feature_id": asking.id, "answers": {"colour": "blue"}})
        assert not done.is_error, done
        await connected.call_tool(ANSWER, {"question_id": number, "answers": {"Port": "8080"}})
        assert row(backlog, asking.id)["status"] == "pending"
        assert journal(backlog, asking.id)[-1]["agent"] == user_name()
        shown = (await connected.call_tool(READ, {})).structured_content
        assert shown is not None
        assert shown["forms"] == []
        wrong = await connected.call_tool(ANSWER, {"feature_id": asking.id, "answers": {"colour": "red"}})
        assert wrong.is_error
        backlog.close(patience=5)


@pytest.mark.only_on("sqlite", reason="the document is a file of the package")
async def test_the_page_is_self_contained(db: str) -> None:
    """The document names no host, has no text of the backlog, and its policy allows its own style and script alone."""
    async with client(db, "legacy") as connected:
        await connected.call_tool("feature_get_stats", {})
        backlog = open_database(Settings(db=db))
        place(backlog, Status.STUCK, name=HOSTILE)
        backlog.close(patience=5)
        (content,) = (await connected.read_resource(URI)).contents
        assert isinstance(content, TextResourceContents)
        document = content.text
    assert HOSTILE not in document
    assert "://" not in document.replace("'none'", "")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', document)
    assert policy is not None
    for kind, tag in (("style", "style"), ("script", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", document, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", text)
