"""Models that fill in every argument, and clients that add arguments of their own, are served like any others."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from dibs.client import Client
from dibs.database import Database
from dibs.verbs.lease import release_all
from dibs_schema.lenient_input import ABOUT_THE_CALL
from dibs_schema.operations import BY_TOOL, OPERATIONS, AnyOperation, argument_name
from dibs_schema.operations import read_arguments as read
from dibs_schema.refusals import InvalidInput
from verbs.stage import add, row

FEATURE = {"category": "core", "name": "a name", "description": "what it does", "steps": ["look"]}
REQUIRED: dict[str, Any] = {
    **FEATURE,
    "feature_id": 1,
    "feature_ids": [1],
    "dependency_id": 2,
    "dependency_ids": [2],
    "features": [FEATURE],
    "fields": [{"id": "colour", "label": "Which colour?"}],
    "prompt": "Which colour?",
    "feedback": "again",
    "reason": "broken",
    "text": "a note",
}
EMPTY: list[Any] = ["", "  ", None]
FILLERS: list[Any] = [*EMPTY, 0, "0", False, [], {}, "[]", "{}", "null"]

NESTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "feature_mark_passing",
        {"evidence": {"summary": "ok"}},
        {"evidence": {"summary": "ok", "commands": [], "commit": ""}},
    ),
    ("feature_mark_passing", {"evidence": {"summary": "ok"}}, {"evidence": '{"summary": "ok", "commit": null}'}),
    ("feature_mark_passing", {}, {"evidence": {"summary": "", "commands": [], "commit": None}}),
    ("feature_mark_passing", {}, {"evidence": '{"summary": "", "commands": []}'}),
    (
        "feature_create_bulk",
        {},
        {"features": [{**FEATURE, "priority": None, "dependencies": "", "depends_on_indices": None, "paths": []}]},
    ),
    (
        "feature_request_human_input",
        {"fields": [{"id": "colour", "label": "Which colour?"}]},
        {"fields": [{"id": "colour", "label": "Which colour?", "type": "", "options": [], "required": None}]},
    ),
    (
        "ask_user",
        {"questions": [{"question": "Which?", "header": "Which", "options": ["a", "b"]}]},
        {
            "questions": [
                {
                    "question": "Which?",
                    "header": "Which",
                    "options": [{"label": "a", "description": ""}, {"label": "b", "description": None}],
                    "multiSelect": None,
                }
            ]
        },
    ),
]


read_arguments = partial(read, from_model=True)


def required_of(operation: AnyOperation) -> dict[str, Any]:
    """Return values for the arguments that a call must have."""
    return {name: REQUIRED[name] for name in operation.parameters if name not in operation.optional}


def given_in(arguments: Any) -> dict[str, Any]:
    """Return the arguments by the names that callers send."""
    return {argument_name(field): value for field, value in vars(arguments).items()}


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.tool for one in OPERATIONS])
def test_an_optional_argument_that_is_empty_counts_as_absent(operation: AnyOperation) -> None:
    """Each optional argument of each tool, filled in with nothing, alone and together with all others."""
    plain = required_of(operation)
    absent = read_arguments(operation, plain)
    for filler in EMPTY:
        assert read_arguments(operation, plain | dict.fromkeys(operation.optional, filler)) == absent
    for name in operation.optional:
        for filler in FILLERS:
            given = given_in(read_arguments(operation, plain | {name: filler}))[name]
            says_nothing = given == given_in(absent)[name] or given in ([], 0, False)
            assert says_nothing or getattr(given, "summary", given) == str(filler).strip(), (name, filler, given)


def test_only_a_change_of_paths_can_be_an_empty_list() -> None:
    """Where an empty list takes everything away, it stays what it is."""
    assert {(one.tool, name) for one in OPERATIONS for name in one.may_be_empty} == {("feature_update", "paths")}
    assert read_arguments(BY_TOOL["feature_update"], {"feature_id": 1, "paths": []}).paths == []
    assert read_arguments(BY_TOOL["feature_update"], {"feature_id": 1, "paths": "[]"}).paths == []


@pytest.mark.parametrize(("tool", "plain", "filled"), NESTED)
def test_an_optional_field_of_an_object_that_is_empty_counts_as_absent(
    tool: str, plain: dict[str, Any], filled: dict[str, Any]
) -> None:
    """The fields of objects follow the same rule as arguments, at every depth and as JSON text."""
    operation = BY_TOOL[tool]
    assert read_arguments(operation, required_of(operation) | filled) == read_arguments(
        operation, required_of(operation) | plain
    )


def test_a_required_argument_is_never_taken_for_absent() -> None:
    """What a call cannot do without is refused by name when it is empty."""
    for operation in OPERATIONS:
        plain = required_of(operation)
        for name in plain:
            for filler in ("", None):
                with pytest.raises(InvalidInput) as refusal:
                    read_arguments(operation, plain | {name: filler})
                assert refusal.value.details["field"] == name


def test_every_invalid_argument_is_named_at_once() -> None:
    """One answer says of each wrong argument what would be right."""
    with pytest.raises(InvalidInput) as refusal:
        read_arguments(
            BY_TOOL["feature_claim_and_get"], {"feature_id": -1, "wait_seconds": 99, "resume": "maybe", "agent": "a"}
        )
    assert refusal.value.details["fields"] == ["feature_id", "wait_seconds", "resume"]
    for name in ("feature_id: must be at least 1", "wait_seconds: must be at most 45", "resume: must be true or false"):
        assert name in refusal.value.message


@pytest.mark.parametrize(
    ("tool", "name", "meant"),
    [
        ("feature_claim_and_get", "featureId", "feature_id"),
        ("feature_claim_and_get", "feature-id", "feature_id"),
        ("feature_claim_and_get", "id", "feature_id"),
        ("feature_claim_and_get", "wait", "wait_seconds"),
        ("feature_claim_and_get", "catgory", "category"),
        ("feature_claim_and_get", "agent_name", "agent"),
        ("feature_mark_passing", "token", "claim_token"),
        ("feature_mark_failing", "Reason", "reason"),
        ("feature_search", "query_text", "text"),
        ("feature_search", "IN", "in"),
        ("feature_search", "search_in", "in"),
        ("feature_create", "desc", "description"),
        ("feature_create", "Step", "steps"),
        ("feature_mark_failing", "raeson", "reason"),
        ("feature_mark_failing", "reasons", "reason"),
    ],
)
def test_a_misspelled_argument_is_refused_with_the_one_that_is_meant(tool: str, name: str, meant: str) -> None:
    """A name that resembles a known one is a mistake, which ignoring it would hide."""
    with pytest.raises(InvalidInput) as refusal:
        read_arguments(BY_TOOL[tool], required_of(BY_TOOL[tool]) | {name: 5}, [])
    assert refusal.value.details["field"] == name
    assert f"use {meant}" in refusal.value.message


@pytest.mark.parametrize(
    "name",
    [
        "task_progress",
        "random_string",
        "_meta",
        "explanation",
        "session",
        "🙂",
        "x" * 5_000,
        "reasoning",  # and other words that begin like an argument's name
        "textual",
        "agentic",
        "notebook",
        "agentThoughts",  # and explanations of the call with an argument's name in theirs
        "tool_call_reason",
        "category_rationale",
        "in_reply_to",
    ],
)
def test_an_argument_that_a_client_adds_is_ignored_by_every_tool(name: str) -> None:
    """A name that resembles none, or is about the call, is left out and listed."""
    for operation in OPERATIONS:
        ignored: list[str] = []
        plain = required_of(operation)
        assert read_arguments(operation, plain | {name: {"any": "value"}}, ignored) == read_arguments(operation, plain)
        assert ignored == [name[:60]]


def test_no_argument_of_a_tool_is_about_the_call() -> None:
    """Misspellings of one that was would be ignored."""
    names = {one for operation in OPERATIONS for name in operation.parameters for one in name.split("_")}
    assert not names & ABOUT_THE_CALL


@pytest.mark.anyio
async def test_a_model_that_fills_in_everything_builds_ten_features(server: Client, backlog: Database) -> None:
    """Every optional argument of every call is there and empty, and there is one that no tool has."""
    backlog.write_now(lambda tx: release_all(tx, "the test begins"))
    features = add(backlog, 10, category="filled")
    tools = {tool.name: tool for tool in (await server.session.list_tools()).tools}

    async def call(tool: str, number: int, **arguments: Any) -> dict[str, Any]:
        names = sorted(tools[tool].input_schema["properties"])
        fillers = {name: FILLERS[(number + place) % 3] for place, name in enumerate(names)}
        fillers |= {"feature_id": 0} if tool == "feature_claim_and_get" else {}
        return await server.call(tool, **fillers | arguments, task_progress="- [x] think")

    for number, feature in enumerate(features):
        claimed = await call("feature_claim_and_get", number, category="filled")
        assert claimed["feature"]["id"] == feature
        assert claimed["ignored"] == ["task_progress"]
        await call("feature_heartbeat", number, feature_id=feature, note="half done")
        passed = await call("feature_mark_passing", number, feature_id=feature)
        assert (passed["status"], passed["ignored"]) == ("passing", ["task_progress"])
    assert {row(backlog, one)["status"] for one in features} == {"passing"}
