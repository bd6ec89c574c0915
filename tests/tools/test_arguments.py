"""Invalid arguments of every tool are refused with the name of the field, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dibs.client import Client
from dibs.database import Database
from dibs.mcp.definitions import definitions
from dibs.queries.graph import get_graph
from dibs_schema.lenient_input import is_empty, is_filler
from dibs_schema.roles import Role
from dibs_schema.sanitize import clean
from dibs_schema.status import Status
from tools.conftest import both_channels
from verbs.stage import add, alter, board, journal, place, row

pytestmark = pytest.mark.anyio

BEFORE_ANY_ENGINE = pytest.mark.only_on("sqlite", reason="arguments are refused before the engine plays a part")

SCHEMAS: dict[str, dict[str, Any]] = {tool.name: tool.input_schema for tool in definitions(Role.ALL)}
"""Each tool's parameters, as clients see them."""

FEATURE = {"category": "core", "name": "a name", "description": "words", "steps": ["look"]}
FIELD = {"id": "colour", "label": "Which?"}
QUESTION = {"question": "Which?", "header": "Which", "options": ["one", "two"]}

GOOD: dict[str, dict[str, Any]] = {
    "feature_mark_in_progress": {"feature_id": 1},
    "feature_heartbeat": {"feature_id": 1},
    "feature_clear_in_progress": {"feature_id": 1},
    "feature_mark_passing": {"feature_id": 1},
    "feature_mark_failing": {"feature_id": 1, "reason": "broken"},
    "feature_skip": {"feature_id": 1, "reason": "later"},
    "feature_request_human_input": {"feature_id": 1, "prompt": "Which?", "fields": [FIELD]},
    "feature_answer_human_input": {"feature_id": 1, "answers": {"colour": "red"}},
    "ask_user": {"questions": [QUESTION]},
    "feature_add_note": {"feature_id": 1, "text": "a note"},
    "feature_create": FEATURE,
    "feature_create_bulk": {"features": [FEATURE]},
    "feature_update": {"feature_id": 1, "name": "another"},
    "feature_approve": {"feature_id": 1},
    "feature_return": {"feature_id": 1, "feedback": "again"},
    "feature_reject": {"feature_id": 1, "reason": "not needed"},
    "feature_move": {"feature_id": 1, "before": 2},
    "feature_add_dependency": {"feature_id": 1, "dependency_id": 2},
    "feature_remove_dependency": {"feature_id": 1, "dependency_id": 2},
    "feature_set_dependencies": {"feature_id": 1, "dependency_ids": [2]},
    "feature_get_by_id": {"feature_id": 1},
    "feature_get_summary": {"feature_id": 1},
    "feature_get_history": {"feature_id": 1},
}
"""Valid arguments of each tool, of which one at a time is replaced by an invalid value."""

LONGEST = {
    "category": 100,
    "name": 255,
    "description": 20_000,
    "agent": 100,
    "request_id": 100,
    "claim_token": 20,
    "cursor": 100,
    "reason": 2_000,
    "feedback": 2_000,
    "unless_changed_since": 40,
    "unless_claimed_since": 40,
    "prompt": 2_000,
    "note": 2_000,
    "text": 2_000,
}
"""The most characters of each string in the contract; the text of a search is shorter."""

BOUNDS = {"limit": (1, 100), "depth": (0, 50), "priority": (-(10**9), 10**9), "wait_seconds": (0, 45)}
"""The least and the greatest value of each number in the contract. Every other number is an id."""

IDS = (1, 2**31 - 1)
TEN_MEGABYTES = "x" * 10_000_000


def counts_as_absent(tool: str, name: str, value: Any) -> bool:
    """Return whether the value says that an optional argument has none; tests/tools/test_filled_in.py has these."""
    return name not in SCHEMAS[tool].get("required", ()) and (is_empty(value) or is_filler(value))


def malformed(name: str, schema: dict[str, Any]) -> list[Any]:
    """Return values that the parameter must refuse, by its type."""
    if "enum" in schema:
        return ["nonsense", "", 5, ["pending"]]
    match schema.get("type"):
        case "integer" | "number":
            least, greatest = BOUNDS.get(name, IDS)
            outside = [least - 1, greatest + 1, 2**63, -(2**63) - 1, 10**40, "NaN", "Infinity", -1e300]
            wrong = ["one", "", "1x", True, False, [1], {"a": 1}, "null", "[1]"]
            return [*outside, *wrong, *([] if schema["type"] == "number" else [1.5])]
        case "boolean":
            return ["perhaps", "", 2, -1, 0.5, [True], {}]
        case "string":
            return [
                "",
                " \n",
                "\u200b",
                "\x1b[0m",
                "x" * (LONGEST[name] + 1),
                5,
                1.5,
                True,
                ["a"],
                {"a": "b"},
            ]
        case "array":
            return [
                "not JSON",
                "{}",
                "[1",
                "null",
                5,
                True,
                {"a": 1},
                [None],
                [[]],
                [True],
                [1.5],
                [""],
                [{"a": 1}],
            ]
        case "object":
            return [5, True, [], {}, {"a": None}, {"a": {"b": 1}}]
    raise AssertionError(f"{name} has a type that is not tried: {schema}")


PARAMETERS = [(tool, name, schema) for tool, whole in SCHEMAS.items() for name, schema in whole["properties"].items()]
EACH = pytest.mark.parametrize(
    ("tool", "name", "schema"), PARAMETERS, ids=[f"{tool}.{name}" for tool, name, _ in PARAMETERS]
)


async def refused(server: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call the tool with malformed arguments, and return the refusal."""
    result = await server.call_raw(tool, arguments)
    shown = str(arguments)[:200]
    assert result.is_error, f"{tool} accepted {shown}"
    error = both_channels(result)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "invalid_input", f"{tool} {shown}: {error}"
    assert len(str(error)) <= 2_000, f"{tool} {shown}: an answer of {len(str(error))} characters"
    return error


def names(error: dict[str, Any], name: str) -> bool:
    """Return whether the path of a refusal is the parameter or a part of it."""
    path = error["field"]
    assert error["message"].startswith(f"{path}: ")
    return bool(path == name or path.startswith((f"{name}[", f"{name}.")))


@pytest.fixture(scope="module", autouse=True)
def two_features(backlog: Database) -> None:
    """The features and tokens that valid arguments need."""
    add(backlog, 2)


@BEFORE_ANY_ENGINE
@EACH
async def test_a_malformed_value_is_refused_by_name(
    server: Client, backlog: Database, tool: str, name: str, schema: dict[str, Any]
) -> None:
    """Wrong types, bounds and lengths are refused with the path of the argument, and write nothing."""
    before = board(backlog)
    values = malformed(name, schema)
    if name in SCHEMAS[tool].get("required", ()):
        values.append(None)
    for value in [one for one in values if not counts_as_absent(tool, name, one)]:
        error = await refused(server, tool, GOOD.get(tool, {}) | {name: value})
        assert names(error, name), f"{tool} {name}={value!r}: {error}"
    assert board(backlog) == before


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize("tool", SCHEMAS)
async def test_what_is_required_is_missed_by_name(server: Client, backlog: Database, tool: str) -> None:
    """A missing required argument is named."""
    before = board(backlog)
    for name in SCHEMAS[tool].get("required", ()):
        rest = {key: value for key, value in GOOD[tool].items() if key != name}
        error = await refused(server, tool, rest)
        assert (error["field"], "is required" in error["message"]) == (name, True)
    assert board(backlog) == before


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize("tool", SCHEMAS)
async def test_misspelled_arguments_are_refused_by_name(server: Client, backlog: Database, tool: str) -> None:
    """An unknown argument that resembles a known one is refused, and the refusal names that one."""
    before = board(backlog)
    for known in SCHEMAS[tool]["properties"]:
        for name in (known.title(), f"{known} ", known.replace("_", "-") + "s", known.upper()):
            if name not in SCHEMAS[tool]["properties"]:
                error = await refused(server, tool, GOOD.get(tool, {}) | {name: 1})
                assert error["field"] == name
                assert "is not known here; use " in error["message"]
    assert board(backlog) == before


TEXTS = [(tool, name) for tool, name, schema in PARAMETERS if schema.get("type") == "string" and "enum" not in schema]


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize(("tool", "name"), TEXTS, ids=[f"{tool}.{name}" for tool, name in TEXTS])
async def test_ten_megabytes_are_refused_shortly(server: Client, backlog: Database, tool: str, name: str) -> None:
    """A string of ten million characters is refused with a short message, and stored nowhere."""
    before = board(backlog)
    error = await refused(server, tool, GOOD.get(tool, {}) | {name: TEN_MEGABYTES})
    assert error["field"] == name
    assert board(backlog) == before


MONSTERS: list[tuple[str, str, Any]] = [
    ("feature_mark_passing", "evidence", TEN_MEGABYTES),
    ("feature_mark_passing", "evidence", {"summary": TEN_MEGABYTES}),
    ("feature_mark_passing", "evidence", {TEN_MEGABYTES: "a key"}),
    ("feature_request_human_input", "fields", [FIELD | {"label": TEN_MEGABYTES}]),
    ("feature_answer_human_input", "answers", {"colour": TEN_MEGABYTES}),
    ("feature_answer_human_input", "answers", {TEN_MEGABYTES: "red"}),
    ("ask_user", "questions", [QUESTION | {"question": TEN_MEGABYTES}]),
    ("feature_create", "steps", [TEN_MEGABYTES]),
    ("feature_create", "steps", TEN_MEGABYTES),
    ("feature_create", "steps", ["a"] * 1_000_000),
    ("feature_create", "dependencies", list(range(1, 1_000_000))),
    ("feature_create_bulk", "features", [FEATURE | {"name": TEN_MEGABYTES}]),
    ("feature_create_bulk", "features", "[" * 1_000_000),
    ("feature_set_dependencies", "dependency_ids", "1" * 10_000_000),
]


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize(
    ("tool", "name", "value"), MONSTERS, ids=[f"{case[0]}.{case[1]}-{n}" for n, case in enumerate(MONSTERS)]
)
async def test_monsters_inside_arguments_are_refused_shortly(
    server: Client, backlog: Database, tool: str, name: str, value: Any
) -> None:
    """A long string deep inside an argument, even as a key, is refused with a short message."""
    on = place(backlog, Status.NEEDS_HUMAN) if tool == "feature_answer_human_input" else None
    arguments = GOOD[tool] | {name: value} | ({"feature_id": on.id} if on else {})
    before = board(backlog)
    assert names(await refused(server, tool, arguments), name)
    assert board(backlog) == before


@BEFORE_ANY_ENGINE
async def test_a_monster_of_a_name_is_answered_shortly(server: Client) -> None:
    """An unknown argument with a name of ten million characters is reported by the beginning of its name."""
    assert (await server.call("feature_get_stats", **{TEN_MEGABYTES: 1}))["ignored"] == [TEN_MEGABYTES[:60]]


NESTED: list[tuple[str, dict[str, Any], str]] = [
    ("feature_create_bulk", {"features": []}, "features"),
    ("feature_create_bulk", {"features": [FEATURE] * 1_001}, "features"),
    ("feature_create_bulk", {"features": [FEATURE, FEATURE | {"name": ""}]}, "features[1].name"),
    ("feature_create_bulk", {"features": [FEATURE | {"steps": []}]}, "features[0].steps"),
    ("feature_create_bulk", {"features": [FEATURE | {"steps": ["ok", 5]}]}, "features[0].steps[1]"),
    ("feature_create_bulk", {"features": [FEATURE | {"dependencies": [0]}]}, "features[0].dependencies[0]"),
    (
        "feature_create_bulk",
        {"features": [FEATURE | {"depends_on_indices": [-1]}]},
        "features[0].depends_on_indices[0]",
    ),
    (
        "feature_create_bulk",
        {"features": [FEATURE | {"depends_on_indices": [1]}]},
        "features[0].depends_on_indices",
    ),
    ("feature_create_bulk", {"features": [FEATURE | {"depends-on": [0]}]}, "features[0]"),
    ("feature_create_bulk", {"features": [{"name": "only"}]}, "features[0].category"),
    ("feature_create", FEATURE | {"steps": ["a"] * 101}, "steps"),
    ("feature_create", FEATURE | {"steps": ["x" * 2_001]}, "steps[0]"),
    ("feature_mark_passing", {"feature_id": 1, "evidence": {"summary": 5}}, "evidence.summary"),
    (
        "feature_mark_passing",
        {"feature_id": 1, "evidence": {"commands": [{"command": "x"}]}},
        "evidence.commands[0].exit_code",
    ),
    (
        "feature_mark_passing",
        {"feature_id": 1, "evidence": {"commands": [{"command": "x", "exit_code": True}]}},
        "evidence.commands[0].exit_code",
    ),
    ("feature_mark_passing", {"feature_id": 1, "evidence": {"colour": "red"}}, "evidence"),
    ("feature_request_human_input", {"feature_id": 1, "prompt": "?", "fields": [FIELD] * 2}, "fields"),
    (
        "feature_request_human_input",
        {"feature_id": 1, "prompt": "?", "fields": [FIELD | {"type": "select"}]},
        "fields[0]",
    ),
    (
        "feature_request_human_input",
        {"feature_id": 1, "prompt": "?", "fields": [FIELD | {"id": "a b"}]},
        "fields[0].id",
    ),
    (
        "feature_request_human_input",
        {"feature_id": 1, "prompt": "?", "fields": [FIELD | {"type": "date"}]},
        "fields[0].type",
    ),
    ("feature_answer_human_input", {"feature_id": 1, "answers": {}}, "answers"),
    ("feature_answer_human_input", {"feature_id": 1, "answers": {"colour": 5}}, "answers.colour"),
    ("feature_answer_human_input", {"feature_id": 1, "answers": {"colour": None}}, "answers.colour"),
    ("feature_answer_human_input", {"feature_id": 1}, "answers"),
    ("feature_answer_human_input", {"feature_id": 1, "answers": {"a": "b"}, "cancel": True}, "answers"),
    ("feature_answer_human_input", {"answers": {"a": "b"}}, "feature_id"),
    ("feature_answer_human_input", {"feature_id": 1, "question_id": 1, "cancel": True}, "feature_id"),
    ("ask_user", {}, "questions"),
    ("ask_user", {"questions": [QUESTION], "question_id": 1}, "questions"),
    ("ask_user", {"questions": [QUESTION] * 5}, "questions"),
    ("ask_user", {"questions": [QUESTION | {"header": "thirteen long"}]}, "questions[0].header"),
    ("ask_user", {"questions": [QUESTION | {"options": ["one"]}]}, "questions[0].options"),
    ("ask_user", {"questions": [QUESTION | {"options": list("abcde")}]}, "questions[0].options"),
    (
        "ask_user",
        {"questions": [QUESTION | {"options": ["one", {"description": "x"}]}]},
        "questions[0].options[1].label",
    ),
    ("feature_get_summary", {}, "feature_ids"),
    ("feature_get_summary", {"feature_id": 1, "feature_ids": [1]}, "feature_ids"),
    ("feature_get_summary", {"feature_ids": []}, "feature_ids"),
    ("feature_get_summary", {"feature_ids": list(range(1, 52))}, "feature_ids"),
    ("feature_get_summary", {"feature_ids": [1, "x"]}, "feature_ids[1]"),
    ("feature_update", {"feature_id": 1}, "feature_id"),
    ("feature_search", {"text": "x" * 101}, "text"),
    ("feature_get_ready", {"limit": 51}, "limit"),
    ("feature_get_for_regression", {"limit": 11}, "limit"),
]


@BEFORE_ANY_ENGINE
@pytest.mark.parametrize(("tool", "arguments", "path"), NESTED, ids=[f"{case[0]}-{n}" for n, case in enumerate(NESTED)])
async def test_the_path_leads_to_what_does_not_fit(
    server: Client, backlog: Database, tool: str, arguments: dict[str, Any], path: str
) -> None:
    """The path of the refusal is the one that the caller would write, down to the field or item."""
    before = board(backlog)
    assert (await refused(server, tool, arguments))["field"] == path
    assert board(backlog) == before


def as_json(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments as some clients send them: arrays and objects as JSON strings."""
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in arguments.items()}


async def test_arrays_and_objects_may_be_json_texts(server: Client, backlog: Database) -> None:
    """A tool accepts lists and objects both as such and as JSON strings."""
    plain = FEATURE | {"steps": ["one", "two"], "dependencies": [1], "allow_duplicates": True}
    made = [(await server.call("feature_create", **one))["ids"][0] for one in (plain, as_json(plain))]
    seen = [row(backlog, feature) for feature in made]
    assert seen[0]["steps"] == seen[1]["steps"] == ["one", "two"]
    assert [node.depends_on for node in backlog.read_now(get_graph).nodes if node.id in made] == [[1], [1]]
    batch = [
        FEATURE | {"name": "inside", "steps": json.dumps(["inside"])},
        FEATURE | {"name": "waits", "depends_on_indices": "[0]"},
    ]
    ids = (await server.call("feature_create_bulk", **as_json({"features": batch})))["ids"]
    assert row(backlog, ids[0])["steps"] == ["inside"]
    assert row(backlog, ids[1])["unmet_dependencies"] == 1
    for feature in ids:
        await server.call("feature_set_dependencies", feature_id=feature, dependency_ids="[]")
        claimed = await server.call("feature_claim_and_get", feature_id=feature)
        proof = {"summary": "seen", "commands": [{"command": "true", "exit_code": 0}]}
        await server.call(
            "feature_mark_passing",
            feature_id=feature,
            claim_token=claimed["claim"]["token"],
            **as_json({"evidence": proof}),
        )
        assert row(backlog, feature)["evidence"] == proof
    asked = await server.call("ask_user", **as_json({"questions": [QUESTION]}))
    await server.call(
        "feature_answer_human_input", question_id=asked["question_id"], answers=json.dumps({"Which": "one"})
    )
    assert (await server.call("feature_get_summary", feature_ids="[1,2]"))["features"][1]["id"] == 2


LITERAL = ["null", "[1,2]", '{"a": 1}', "true", "5", '"quoted"', "NaN"]


@pytest.mark.parametrize("text", LITERAL)
async def test_a_text_that_looks_like_json_stays_a_text(server: Client, backlog: Database, text: str) -> None:
    """Strings are never parsed as JSON, but stored unchanged."""
    made = await server.call("feature_create", category=text, name=text, description=text, steps=[text])
    kept = row(backlog, made["ids"][0])
    assert (kept["category"], kept["name"], kept["description"], kept["steps"]) == (text, text, text, [text])
    await server.call("feature_add_note", feature_id=kept["id"], text=text)
    assert journal(backlog, kept["id"])[-1]["detail"] == {"note": text}
    await server.call("feature_skip", feature_id=kept["id"], reason=text)
    assert journal(backlog, kept["id"])[-1]["detail"]["reason"] == text
    found = await server.call("feature_search", text=text, limit=100)
    assert kept["id"] in [one["id"] for one in found["features"]]


async def test_evidence_may_be_a_plain_text(server: Client, backlog: Database) -> None:
    """A string in place of the evidence object is its summary, even if it looks like JSON."""
    for text in ("it works", "5", "null", "[1,2]"):
        (feature,) = add(backlog)
        await server.call("feature_mark_in_progress", feature_id=feature)
        await server.call("feature_mark_passing", feature_id=feature, evidence=text)
        assert row(backlog, feature)["evidence"] == {"summary": text}


HIDDEN = {
    "colours": "\x1b[31m",
    "a title": "\x1b]0;title\x07",
    "a bell": "\x07",
    "a null": "\x00",
    "direction": "\u202e",
    "isolates": "\u2066\u2069",
    "zero width": "\u200b",
    "a byte order mark": "\ufeff",
    "tags": "\U000e0041",
    "a C1 control": "\x9b1m",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
async def test_what_cannot_be_seen_is_not_kept(server: Client, backlog: Database, hidden: str) -> None:
    """Control, ANSI, bidirectional and zero-width characters are removed from every string that a tool stores."""
    dirty = f"a{hidden}b"
    texts = {"category": dirty, "name": dirty, "description": dirty, "steps": [dirty]}
    (feature,) = (await server.call("feature_create", **texts, request_id=f"{dirty} {len(journal(backlog))}"))["ids"]
    await server.call("feature_update", feature_id=feature, name=f"{dirty} again")
    await server.call("feature_add_note", feature_id=feature, text=dirty)
    me = {"feature_id": feature, "agent": f"{dirty} {feature}"}
    proof = {"summary": dirty, "commands": [{"command": dirty, "exit_code": 0}], "commit": dirty}
    for tool, words in (
        ("feature_heartbeat", {"note": dirty}),
        ("feature_mark_failing", {"reason": dirty}),
        ("feature_skip", {"reason": dirty}),
        ("feature_mark_passing", {"evidence": proof}),
    ):
        alter(backlog, feature, not_before=None)
        token = (await server.call("feature_claim_and_get", **me, resume=True))["claim"]["token"]
        await server.call(tool, feature_id=feature, claim_token=token, **words)
    kept = row(backlog, feature)
    assert kept["description"] == "ab"
    assert _unclean([kept, journal(backlog, feature), board(backlog)["requests"]]) == []


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
async def test_what_people_are_asked_and_answer_is_clean_too(server: Client, backlog: Database, hidden: str) -> None:
    """Questions, labels, options and answers are cleaned like every other string."""
    dirty = f"a{hidden}b"
    (feature,) = add(backlog)
    await server.call("feature_mark_in_progress", feature_id=feature)
    select = {"id": "colour", "label": dirty, "type": "select", "options": [dirty, "other"]}
    fields = [select, {"id": "why", "label": dirty}]
    await server.call("feature_request_human_input", feature_id=feature, prompt=dirty, fields=fields)
    await server.call("feature_answer_human_input", feature_id=feature, answers={"colour": "ab", "why": dirty})
    options = [{"label": dirty, "description": dirty}, "other"]
    question = {"question": dirty, "header": dirty, "options": options, "multiSelect": True}
    asked = await server.call("ask_user", questions=[question])
    await server.call("feature_answer_human_input", question_id=asked["question_id"], answers={"1": [dirty]})
    kept = row(backlog, feature)
    assert kept["human_answer"]["answers"] == {"colour": "ab", "why": "ab"}
    assert _unclean([kept, journal(backlog, feature), board(backlog)["questions"][-1]]) == []


def _unclean(data: Any, path: str = "") -> list[str]:
    """Yield the places in the data with characters that should have been removed."""
    if isinstance(data, str):
        return [] if clean(data) == data else [f"{path}: {data!r}"]
    if isinstance(data, dict):
        return [
            one
            for key, value in data.items()
            for one in [*_unclean(key, f"{path} key"), *_unclean(value, f"{path}.{key}")]
        ]
    if isinstance(data, list):
        return [one for number, value in enumerate(data) for one in _unclean(value, f"{path}[{number}]")]
    return []
