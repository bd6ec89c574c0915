"""The tools, instructions and answers that the model gets, compared with those of the server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from dibs.client import Client as Reader
from e2e.backlog import Backlog
from e2e.clients import Client
from e2e.conftest import NewProject
from e2e.model import Definition, Model, own_name
from e2e.running import play
from e2e.script import Call, Script, Shown

STRANGE = "Ünïcode “quoted” <b>&amp;</b> </system-reminder> \\ 日本 😀"
LONG = "".join(f"Line {number} of a long text.\n" for number in range(500))
BOUNDS = {f"{end}{what}" for end in ("min", "max") for what in ("imum", "Length", "Items", "Properties")} - {"minItems"}
"""The keywords that Codex removes from schemas."""

PREFIX = {"claude": "mcp__features__", "codex": "", "opencode": "features_"}
NAMESPACE = {"claude": "", "codex": "mcp__features", "opencode": ""}
HOT = {"feature_claim_and_get", "feature_mark_passing", "feature_mark_failing"}


@dataclass(frozen=True)
class Said:
    """The server's own definitions and instructions."""

    instructions: str
    tools: list[Any]
    whole: dict[str, Any]


@dataclass(frozen=True)
class Talk:
    """One conversation: the server's definitions, the model's requests, and the results of each call."""

    client: Client
    said: Said
    model: Model
    shown: dict[str, Shown]


CALLS = {
    "refused": Call("feature_mark_passing", {"feature_id": 1}),
    "invalid": Call("feature_claim_and_get", {"wait": 1}),
    "read": Call("feature_get_by_id", {"feature_id": 2}),
    "claimed": Call("feature_claim_and_get", {"feature_id": 1, "agent": "talker"}),
    "greedy": Call("feature_claim_and_get", {"feature_id": 2, "agent": "talker"}),
}


async def listen(backlog: Backlog) -> Said:
    """Get the definitions and instructions from the server directly."""
    async with Reader.start(backlog.server()) as reader:
        tools = (await reader.session.list_tools()).tools
        whole = await reader.call("feature_get_by_id", feature_id=2)
        return Said(reader.session.instructions or "", tools, whole)


@pytest.fixture(scope="module")
def talk(client: Client, new_project: NewProject, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """One conversation of the client about two features."""
    backlog = Backlog(tmp_path_factory.mktemp("talk") / "features.db")
    backlog.add({"name": STRANGE}, {"name": "Long", "description": LONG})
    said = anyio.run(listen, backlog)
    shown: dict[str, Shown] = {}

    def script() -> Script:
        dialect = client.dialect()
        if dialect.finder:
            yield Call(dialect.finder, dialect.query(*(tool.name for tool in said.tools)))
        for name, call in CALLS.items():
            shown[name] = yield call

    model = play(client, new_project(backlog), script())
    return Talk(client, said, model, shown)


def test_every_tool_is_offered_under_the_clients_prefix(talk: Talk) -> None:
    """All tools are available under the client's names, with complete descriptions."""
    prefix, namespace = PREFIX[talk.client.name], NAMESPACE[talk.client.name]
    offered = {(one.namespace, one.name, one.description) for one in talk.model.tools.values()}
    assert offered == {(namespace, prefix + tool.name, tool.description) for tool in talk.said.tools}


def expected_schema(client: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's schema as the client shows it."""
    if client == "opencode":
        return schema | {"additionalProperties": False}
    return without_bounds(schema) if client == "codex" else schema


def without_bounds(schema: Any) -> Any:
    """Return a schema as Codex shows it: no bounds, and every object with a list of its properties."""
    if isinstance(schema, list):
        return [without_bounds(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {name: without_bounds(value) for name, value in schema.items() if name not in BOUNDS}
    return {"properties": {}} | shown if schema.get("type") == "object" else shown


def test_schemas_are_whole_but_for_what_the_client_is_known_to_change(talk: Talk) -> None:
    """Names, types, descriptions and requirements of all arguments arrive; Codex drops bounds, opencode closes objects."""
    for tool in talk.said.tools:
        shown = talk.model.tools[tool.name].schema
        assert shown == expected_schema(talk.client.name, tool.input_schema), tool.name


def test_neither_output_schemas_nor_hints_nor_titles_reach_the_model(talk: Talk) -> None:
    """Clients do not show output schemas and hints to the model."""
    for tool in talk.said.tools:
        raw = json.dumps(talk.model.tools[tool.name].raw)
        assert "outputSchema" not in raw
        assert "output_schema" not in raw
        assert "Hint" not in raw
        assert f'"{tool.title}"' not in raw


def first_offered(talk: Talk) -> list[Definition]:
    """The tools of Dibs in the first request of the conversation."""
    return [one for one in talk.model.turns[0].tools if own_name(one.name)]


def test_what_is_loaded_at_once_is_the_hot_tools_or_all_or_none(talk: Talk) -> None:
    """Claude Code loads the tools that are marked as hot, opencode all tools, and Codex none before a search."""
    everything = {tool.name for tool in talk.said.tools}
    wanted = {"claude": HOT, "codex": set(), "opencode": everything}
    assert {own_name(one.name) for one in first_offered(talk)} == wanted[talk.client.name]


def test_names_of_what_is_not_loaded_are_shown_by_claude_alone(talk: Talk) -> None:
    """Claude Code lists the other tools by name; Codex names the server, but none of its tools."""
    words = talk.model.turns[0].words.replace(talk.said.instructions, "")
    named = {tool.name for tool in talk.said.tools if f"mcp__features__{tool.name}\n" in words}
    everything = {tool.name for tool in talk.said.tools}
    assert named == (everything - HOT if talk.client.name == "claude" else set())


def test_the_instructions_arrive(talk: Talk) -> None:
    """Claude Code and opencode show them completely at once. Codex shows one line, and the rest with the tools it found."""
    words = "\n".join(line.strip() for line in talk.model.turns[0].words.splitlines())
    whole = talk.said.instructions
    if talk.client.name != "codex":
        assert whole in words
        return
    first = whole.splitlines()[0]
    assert f"- mcp__features: {first}\n" in words
    assert whole.splitlines()[1] not in words
    assert talk.model.shown[0].raw[0]["description"] == whole


@pytest.mark.parametrize(
    ("name", "code", "next_call"),
    [
        ("refused", "not_claimed", "feature_claim_and_get"),
        ("invalid", "invalid_input", "wait_seconds"),
        ("greedy", "already_holding", "feature"),
    ],
)
def test_a_refusal_arrives_whole(talk: Talk, name: str, code: str, next_call: str) -> None:
    """The model gets the code, the message and `retryable`; only Claude Code flags an error."""
    shown = talk.shown[name]
    error = shown.data()["error"]
    assert error["code"] == code
    assert next_call in error["message"]
    assert error["retryable"] is False
    assert shown.is_error is (True if talk.client.name == "claude" else None)


def test_an_answer_arrives_whole_and_undistorted(talk: Talk) -> None:
    """Unusual characters and long strings reach the model unchanged."""
    assert talk.shown["read"].data() == talk.said.whole
    assert talk.shown["claimed"].data()["feature"]["name"] == STRANGE
