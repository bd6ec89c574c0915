"""Tool definitions equal their snapshots, are small, ordered and correct, and depend on the role."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it comes without types
from mcp.types import Tool

from dibs.client import Client, server_command
from dibs.database import Database
from dibs.mcp.instructions import instructions
from dibs_schema.operations import offered
from dibs_schema.refusals import all_codes
from dibs_schema.roles import Role
from dibs_schema.status import Status
from tools.conftest import both_channels
from verbs.stage import add, alter, board, place

pytestmark = pytest.mark.anyio

BEFORE_ANY_ENGINE = pytest.mark.only_on("sqlite", reason="tools are defined before the engine plays a part")

SNAPSHOTS = Path(__file__).with_name("definitions")
RENEW = "DIBS_TEST_RENEW"

# Section 4 of the contract, and decision 22: each tool with its roles (c, t, p, v), in the order in which they are listed.
CONTRACT = {
    "feature_claim_and_get": "ct",
    "feature_mark_in_progress": "c",
    "feature_heartbeat": "ct",
    "feature_clear_in_progress": "ctp",
    "feature_mark_passing": "ct",
    "feature_mark_failing": "ct",
    "feature_skip": "c",
    "feature_add_note": "ctp",
    "feature_request_human_input": "c",
    "feature_answer_human_input": "p",
    "ask_user": "cp",
    "feature_approve": "p",
    "feature_return": "p",
    "feature_reject": "p",
    "feature_create": "pct",
    "feature_create_bulk": "p",
    "feature_update": "p",
    "feature_move": "p",
    "feature_add_dependency": "p",
    "feature_remove_dependency": "p",
    "feature_set_dependencies": "p",
    "feature_get_for_regression": "t",
    "feature_get_by_id": "ctpv",
    "feature_get_summary": "ctpv",
    "feature_search": "ctpv",
    "feature_get_ready": "ctpv",
    "feature_get_blocked": "ctpv",
    "feature_get_graph": "pv",
    "feature_get_history": "ctpv",
    "feature_get_stats": "ctpv",
    "feature_get_overview": "pv",
}
ROLES = {"coder": "c", "tester": "t", "planner": "p", "viewer": "v", "all": "ctpv"}


@pytest.fixture(scope="module")
async def tools(server: Client) -> dict[str, Tool]:
    """Return every definition as a client gets it, by name."""
    return {tool.name: tool for tool in (await server.session.list_tools()).tools}


def wire(tool: Tool) -> dict[str, Any]:
    """Return a definition as it is sent."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def size(tools: list[Tool]) -> int:
    """Return the bytes of the definitions as a model gets them: clients do not pass on output schemas."""
    shown = [{key: value for key, value in wire(tool).items() if key != "outputSchema"} for tool in tools]
    return len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode())


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize("name", CONTRACT)
async def test_a_definition_is_as_it_was(tools: dict[str, Tool], name: str) -> None:
    """A changed definition changes every client's prompt, so its snapshot must be renewed on purpose."""
    file = SNAPSHOTS / f"{name}.json"
    now = wire(tools[name])
    if os.environ.get(RENEW):
        SNAPSHOTS.mkdir(exist_ok=True)
        file.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    assert now == kept, f"{name} has changed. If that is meant, renew {file.name}: run this file with {RENEW}=1."


def test_no_snapshot_is_left_over() -> None:
    """Each snapshot belongs to a tool."""
    assert {file.stem for file in SNAPSHOTS.glob("*.json")} == CONTRACT.keys()


@BEFORE_ANY_ENGINE
async def test_the_order_is_that_of_the_contract(server: Client, tools: dict[str, Tool]) -> None:
    """Tools are always listed in the same order, so that prompts can be cached."""
    assert list(tools) == list(CONTRACT)
    again = (await server.session.list_tools()).tools
    assert [wire(tool) for tool in again] == [wire(tool) for tool in tools.values()]


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_its_tools_and_no_others(db: str, role: str) -> None:
    """The tools of other roles are neither listed nor callable, and the definitions stay within their budget."""
    mine = [name for name, roles in CONTRACT.items() if set(roles) & set(ROLES[role])]
    async with Client.start(server_command("--db", db, "--role", role)) as client:
        listed = (await client.session.list_tools()).tools
        assert [tool.name for tool in listed] == mine
        for name in CONTRACT.keys() - set(mine):
            result = await client.call_raw(name, {})
            error = both_channels(result)["error"]
            assert (result.is_error, error["code"], error["tool"]) == (True, "forbidden", name)
        assert size(listed) <= (7_500 if role == "coder" else 20_000)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("lease", [None, 1800.0])
def test_instructions_name_only_tools_of_the_role(role: Role, lease: float | None) -> None:
    """The first line names the tool that the role begins with, and no text names a tool that the role does not have."""
    text = instructions(role, database="features.db, project shop", detached_lease=lease)
    tools = {one.tool for one in offered(role)}
    named = {word for word in re.findall(r"\w+", text) if word in CONTRACT}
    assert named <= tools
    assert named & set(re.findall(r"\w+", text.partition("\n")[0]))
    assert len(text.partition("\n")[0]) <= 250
    assert len(text) < 2_000
    assert ("renewed while you are connected" in text) == (lease is None and "feature_claim_and_get" in tools)


async def test_words_are_few(server: Client, tools: dict[str, Tool], shared_db: str, backlog: Database) -> None:
    """Descriptions and instructions are shorter than the clients' limits; the instructions show no password."""
    instructions = server.session.instructions
    assert instructions is not None
    assert len(instructions) < 2_000
    first = instructions.partition("\n")[0]  # Codex shows only this at first; its search finds the names
    assert len(first) <= 250
    assert "feature_claim_and_get" in first
    assert backlog.label in instructions
    assert f"project {(await server.call('feature_get_stats'))['project']}." in instructions
    password = urlsplit(shared_db).password
    assert password is None or password not in instructions
    for tool in tools.values():
        assert tool.description
        assert len(tool.description) <= 4_096


@BEFORE_ANY_ENGINE
async def test_every_tool_has_a_title(tools: dict[str, Tool]) -> None:
    """People see titles, so no two are the same."""
    titles = [tool.title for tool in tools.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@BEFORE_ANY_ENGINE
async def test_the_hot_tools_are_loaded_at_once(tools: dict[str, Tool]) -> None:
    """Three to five tools have the mark with which clients load them at once."""
    hot = [name for name, tool in tools.items() if (tool.meta or {}).get("anthropic/alwaysLoad") is True]
    assert 3 <= len(hot) <= 5
    assert {"feature_claim_and_get", "feature_mark_passing", "feature_mark_failing"} <= set(hot)


@BEFORE_ANY_ENGINE
async def test_every_output_schema_allows_a_refusal(tools: dict[str, Tool]) -> None:
    """An answer is an object of one of several shapes, the last of which is a refusal with a known code."""
    for name, tool in tools.items():
        schema = tool.output_schema
        assert schema is not None, name
        Draft202012Validator.check_schema(schema)
        assert schema.keys() == {"type", "anyOf"}, name
        assert schema["type"] == "object"
        error = schema["anyOf"][-1]["properties"]["error"]
        assert set(error["properties"]["code"]["enum"]) == all_codes().keys()
        assert set(error["required"]) == {"code", "message", "retryable"}


@BEFORE_ANY_ENGINE
async def test_the_parameters_are_closed_and_typed(tools: dict[str, Tool]) -> None:
    """Every parameter has one type that all clients know, without references."""
    for name, tool in tools.items():
        Draft202012Validator.check_schema(tool.input_schema)
        assert "$ref" not in json.dumps(tool.input_schema)
        for parameter, schema in tool.input_schema["properties"].items():
            assert "type" in schema, f"{name}.{parameter}"


QUESTION = {"question": "Which?", "header": "Which", "options": ["one", "two"]}
FEATURE = {"category": "core", "name": "a name", "description": "words", "steps": ["look"]}


async def calls(server: Client, backlog: Database) -> dict[str, list[dict[str, Any]]]:
    """Return valid arguments of each tool, for every shape of its answer."""
    held = [place(backlog, Status.IN_PROGRESS) for _ in range(7)]
    tokens = [{"feature_id": on.id, "claim_token": on.token} for on in held]
    waiting, stuck, asking = (
        place(backlog, status).id for status in (Status.PENDING, Status.STUCK, Status.NEEDS_HUMAN)
    )
    passing, broken = place(backlog, Status.PASSING).id, place(backlog, Status.PASSING).id
    unconfirmed, returned, rejected = (place(backlog, Status.PASSING).id for _ in range(3))
    alter(backlog, unconfirmed, unconfirmed_since=1.0)
    one, two = add(backlog, 2)
    asked = (await server.call("ask_user", questions=[QUESTION]))["question_id"]
    fields = [{"id": "colour", "label": "Which colour?", "type": "select", "options": ["red", "blue"]}]
    proof = {"summary": "seen", "commands": [{"command": "true", "exit_code": 0}], "commit": "abc"}
    return {
        "feature_claim_and_get": [{"feature_id": waiting}, {"category": "nothing of the kind"}],
        "feature_mark_in_progress": [{"feature_id": one}],
        "feature_heartbeat": [tokens[0] | {"note": "half done"}, tokens[0]],
        "feature_clear_in_progress": [tokens[1], {"feature_id": held[6].id, "force": True}],
        "feature_mark_passing": [tokens[2] | {"evidence": proof}, {"feature_id": passing}],
        "feature_mark_failing": [
            tokens[3] | {"reason": "broken"},
            {"feature_id": broken, "reason": "broke"},
        ],
        "feature_skip": [tokens[4] | {"reason": "later"}],
        "feature_request_human_input": [tokens[5] | {"prompt": "Which?", "fields": fields}],
        "feature_answer_human_input": [
            {"feature_id": asking, "answers": {"colour": "red"}},
            {"question_id": asked, "answers": {"Which": "one"}},
        ],
        "ask_user": [{"questions": [QUESTION]}, {"question_id": asked}],
        "feature_add_note": [{"feature_id": two, "text": "a note"}],
        "feature_get_for_regression": [{"limit": 10}, {"limit": 10}],
        "feature_create": [FEATURE | {"allow_duplicates": True}],
        "feature_create_bulk": [{"features": [FEATURE, FEATURE | {"name": "another"}], "allow_duplicates": True}],
        "feature_approve": [{"feature_id": unconfirmed}],
        "feature_return": [{"feature_id": returned, "feedback": "not yet"}],
        "feature_reject": [{"feature_id": rejected, "reason": "not needed"}],
        "feature_update": [{"feature_id": stuck, "retry": True}, {"feature_id": two, "name": "another"}],
        "feature_move": [{"feature_id": one, "before": two}, {"feature_id": one, "to": "front"}],
        "feature_add_dependency": [{"feature_id": stuck, "dependency_id": two}],
        "feature_remove_dependency": [{"feature_id": stuck, "dependency_id": two}],
        "feature_set_dependencies": [{"feature_id": stuck, "dependency_ids": [one, two]}],
        "feature_get_by_id": [{"feature_id": on.id} for on in held] + [{"feature_id": stuck}],
        "feature_get_summary": [{"feature_ids": [one, two, 999_999]}, {"feature_id": one}],
        "feature_search": [{}, {"text": "no such text"}],
        "feature_get_ready": [{}],
        "feature_get_blocked": [{}],
        "feature_get_graph": [{}, {"root": stuck, "format": "mermaid"}],
        "feature_get_history": [{"feature_id": on.id} for on in held],
        "feature_get_stats": [{}, {"by": "category"}, {"by": "agent"}],
        "feature_get_overview": [{}],
    }


async def test_real_answers_and_refusals_fit_their_schemas(
    server: Client, backlog: Database, tools: dict[str, Tool]
) -> None:
    """The answers and refusals of each tool are valid under its output schema."""
    for name, wanted in (await calls(server, backlog)).items():
        validator = Draft202012Validator(tools[name].output_schema or {})
        for arguments in wanted:
            result = await server.call_raw(name, arguments)
            data = both_channels(result)
            assert not result.is_error, f"{name} {arguments}: {data}"
            validator.validate(data)
            assert _nothings(data) == [], f"{name}: {data}"
        first = next(iter(tools[name].input_schema["properties"]), None)
        if first is None:
            continue  # no argument of it can be wrong
        refused = await server.call_raw(name, {f"{first}s": "red"})
        assert refused.is_error
        validator.validate(both_channels(refused))


MAY_BE_EMPTY = ("features", "counts")
"""The empty values that an answer keeps: a list of features, and counts."""


def _nothings(data: Any, path: str = "") -> list[str]:
    """Yield the places in an answer with a null or an empty list, which should have been left out."""
    if data is None or (data == [] and path.rpartition(".")[2] not in MAY_BE_EMPTY):
        return [path]
    if isinstance(data, dict):
        return [found for key, value in data.items() for found in _nothings(value, f"{path}.{key}")]
    if isinstance(data, list):
        return [found for value in data for found in _nothings(value, f"{path}[]")]
    return []


async def test_what_says_that_it_only_reads_writes_nothing(
    server: Client, backlog: Database, tools: dict[str, Tool]
) -> None:
    """A read-only tool changes no row, and a tool that writes is not marked as read-only."""
    good = await calls(server, backlog)
    reading = [name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint]
    for name in reading:
        for arguments in good[name]:
            before = board(backlog)
            await server.call(name, **arguments)
            assert board(backlog) == before, name
    for name in CONTRACT.keys() - set(reading):
        before = board(backlog)
        for arguments in good[name]:
            await server.call(name, **arguments)
        assert board(backlog) != before, f"{name} could say that it only reads"


TIMES = ("updated_at", "last_tested_at", "last_activity_at")


async def test_what_says_that_it_is_repeatable_has_one_effect(
    server: Client, backlog: Database, tools: dict[str, Tool]
) -> None:
    """Called again with the same arguments, an idempotent tool changes nothing except times, whatever it answers."""
    good = await calls(server, backlog)
    repeatable = [name for name, tool in tools.items() if tool.annotations and tool.annotations.idempotent_hint]
    assert repeatable
    for name in repeatable:
        for arguments in good[name]:
            await server.call(name, **arguments)
            first = _state(backlog)
            await server.call_raw(name, arguments)
            assert _state(backlog) == first, f"{name} {arguments}"


def _state(backlog: Database) -> list[dict[str, Any]]:
    rows = board(backlog)["features"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@BEFORE_ANY_ENGINE
async def test_what_takes_something_away_says_so(tools: dict[str, Tool]) -> None:
    """Exactly the tools that overwrite or remove data of others are marked as destructive."""
    destructive = {name for name, tool in tools.items() if tool.annotations and tool.annotations.destructive_hint}
    assert destructive == {"feature_update", "feature_remove_dependency", "feature_set_dependencies"}
    for tool in tools.values():
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint or tool.annotations.destructive_hint is not None
