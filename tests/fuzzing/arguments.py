"""Generated calls of every tool from its own schema: some are valid, most have one invalid place.

hypothesis-jsonschema was considered, but it does not know existing ids, and it would seldom draw a string with half of a
surrogate pair.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dibs_schema.operations import OPERATIONS, adapter

Schema = dict[str, Any]
Call = tuple[str, dict[str, Any]]

SCHEMAS: dict[str, Schema] = {one.tool: adapter(one.arguments).json_schema(by_alias=True) for one in OPERATIONS}
"""Each tool's parameters with all their bounds; clients see only the useful ones."""

STAGED = 40
"""The greatest id that is drawn often; the staged backlog has at least this many features."""
LONGEST_WAIT = 0.02
"""Seconds that a call may wait for work, during which the next call waits too."""

WORDS = ["core", "a name", "Größe", "x", "0", "null", "[1, 2]", "true", "colour", "red"]
ODD = [
    "\ud800",
    "cut \ud83d off",
    "a\x00b",
    "\x00",
    "\u202eyes\u202c",
    "\u200b",
    "\ufeff",
    "\x1b[31mred\x1b[0m",
    "👩‍👩‍👧 🏴 1️⃣",
    "e\u0301\u0302\u0303",
    "\u2028\u2029\x85",
    "\uffff\ufffe",
    "\U0010ffff",
    "%s %n {0} ${x} $(x) `x`",
    "'; DROP TABLE features; --",
    '"\\"',
    "\\u0000",
    "../../x",
    "{}",
    "{",
    '{"a": 1}',
    "NaN",
    "1e999",
    "-0",
    "٣",
    " \n\t",
    "",
]
FAR = [0, -1, 1.5, -0.0, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 1e308, 5e-324]


def _wrapped(depth: int, inner: Any, key: str | None) -> Any:
    for _ in range(depth):
        inner = [inner] if key is None else {key: inner}
    return inner


_texts = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(ODD),
    st.text(max_size=12),
    st.builds(lambda one, times: one * times, st.sampled_from(["x", "ü", "😀", "\u200b"]), st.integers(1, 400)),
)


@st.composite
def _mostly(draw: st.DrawFn, usual: SearchStrategy[Any], odd: SearchStrategy[Any]) -> Any:
    """Draw a valid value, or one time in twelve an odd value."""
    return draw(odd if draw(st.integers(0, 12)) == 7 else usual)


_huge = st.builds(lambda one, times: one * times, st.sampled_from(["x", "ü", " ", "\x00"]), st.just(70_000))
_scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(FAR), st.floats(), st.integers(), _texts, st.sampled_from(ODD)
)
_nested = st.builds(
    _wrapped,
    st.integers(1, 60),
    _scalars,
    st.sampled_from([None, "a", "id"]),
)
junk: SearchStrategy[Any] = st.one_of(
    _scalars,
    st.lists(_scalars, max_size=4),
    st.dictionaries(_texts, _scalars, max_size=3),
    _nested,
    _huge,
    st.just([1] * 2_000),
)
"""Any JSON value, including large values."""


def fitting(name: str, schema: Schema, root: Schema) -> SearchStrategy[Any]:
    """Return values that fit a schema, or nearly fit it; `root` has its definitions."""
    match schema:
        case {"$ref": place}:
            found = fitting(name, root["$defs"][place.removeprefix("#/$defs/")], root)
        case {"anyOf": others}:
            found = st.one_of([fitting(name, one, root) for one in others])
        case {"enum": words}:
            found = st.sampled_from(words)
        case {"type": "null"}:
            found = st.none()
        case {"type": "boolean"}:
            found = st.booleans()
        case {"type": "integer" | "number"}:
            found = _numbers(name, schema)
        case {"type": "string"}:
            found = _strings(name, schema)
        case {"type": "array", "items": item}:
            items, least = fitting(name, item, root), schema.get("minItems", 0)
            found = st.lists(items, min_size=least, max_size=max(least, 3))
        case _:
            found = _objects(schema, root)
    return found


def _numbers(name: str, schema: Schema) -> SearchStrategy[Any]:
    if name == "wait_seconds":
        return st.sampled_from([0, 0.0, LONGEST_WAIT, "0", None])
    least, greatest = schema.get("minimum", 0), schema.get("maximum", 100)
    usual = st.integers(max(least, 1), min(greatest, STAGED))
    return _mostly(usual, st.one_of(usual.map(str), st.sampled_from([least, greatest, least + 1, greatest - 1])))


def _strings(name: str, schema: Schema) -> SearchStrategy[Any]:
    longest = schema.get("maxLength", 100)
    at_the_limit = st.builds(
        lambda one, more: one * (longest + more),
        st.sampled_from(["x", "ü", "😀"]),
        st.sampled_from([0, 0, 1]),
    )
    odd = st.one_of(at_the_limit, st.sampled_from(ODD), _texts)
    if name in ("agent", "request_id", "category", "id"):  # names that are drawn repeatedly
        return _mostly(st.sampled_from(["ada", "bo", "cy", "colour"]), odd)
    if name == "cursor":
        return _mostly(st.sampled_from(["0", "1", "20", "-1:0", "0:1", "9" * 18, "9" * 19]), odd)
    return _mostly(st.sampled_from(WORDS).map(lambda one: one[:longest]), odd)


def _objects(schema: Schema, root: Schema) -> SearchStrategy[Any]:
    if "properties" not in schema:
        keys = st.sampled_from(["colour", "size", "", "x" * 101])
        return st.dictionaries(keys, fitting("", schema["additionalProperties"], root), max_size=3)
    known = {name: fitting(name, one, root) for name, one in schema["properties"].items()}
    required = schema.get("required", [])
    return st.fixed_dictionaries(
        {name: known[name] for name in required},
        optional={name: known[name] for name in known if name not in required},
    )


EITHER = {
    "feature_answer_human_input": [("feature_id", "question_id"), ("answers", "cancel")],
    "ask_user": [("questions", "question_id")],
    "feature_get_summary": [("feature_id", "feature_ids")],
    "feature_request_human_input": [("prompt", "question_id"), ("fields", "question_id")],
}
"""Arguments of which a valid call has exactly one."""
TWISTS = [None] * 12 + ["less", "more", "junk", "junk", "inside", "inside", "text", "filled", "filled", "injected"]
FILLERS: list[Any] = ["", " ", None, 0, False, [], {}, "null", "[]"]
"""What models send in optional arguments that they have nothing for."""
INJECTED = ["task_progress", "random_string", "_meta", "reasoning", "reason", "featureId", "feature-id", "wait"]
"""What clients add to every call, and misspelled arguments."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Draw a tool and its arguments."""
    tool = draw(st.sampled_from(sorted(SCHEMAS)))
    schema = SCHEMAS[tool]
    arguments = draw(_objects(schema, schema))
    for pair in EITHER.get(tool, []):
        if draw(st.integers(0, 2)) > 0:
            arguments.pop(draw(st.sampled_from(pair)), None)
    twist = draw(st.sampled_from(TWISTS))
    if twist == "more":
        arguments[draw(_texts)] = draw(_scalars)
    elif twist == "less" and arguments:
        del arguments[draw(st.sampled_from(sorted(arguments)))]
    elif twist == "junk" and schema["properties"]:
        arguments[draw(st.sampled_from(sorted(schema["properties"])))] = draw(junk)
    elif twist == "inside":
        _twist_inside(draw, arguments)
    elif twist == "text":
        _into_text(draw, arguments)
    elif twist == "filled":
        missing = schema["properties"].keys() - arguments.keys()
        arguments |= {name: draw(st.sampled_from(FILLERS)) for name in sorted(missing)}
    elif twist == "injected":
        arguments[draw(st.sampled_from(INJECTED))] = draw(_scalars)
    return tool, _impatient(arguments)


@st.composite
def batches(draw: st.DrawFn, size: int) -> list[Call]:
    """Draw `size` calls, and between two of them valid calls that follow each other.

    Calls that are drawn one by one seldom name the feature that an earlier one has claimed, or that waits for an answer.
    """
    batch: list[Call] = draw(st.lists(calls(), min_size=size, max_size=size))
    place = draw(st.integers(0, size))
    return [*batch[:place], *draw(_lives()), *batch[place:]]


@st.composite
def _lives(draw: st.DrawFn) -> list[Call]:
    """Draw calls that change a feature, claim it, keep the claim and end it: by an outcome, or a question and its answer."""
    word: str = draw(st.sampled_from(WORDS))
    reply: dict[str, Any] = draw(st.sampled_from([{"answers": {"answer": "red"}}, {"cancel": True}]))
    ends: list[list[Call]] = [
        [("feature_request_human_input", {"prompt": word}), ("feature_answer_human_input", reply)],
        [("feature_mark_passing", {"evidence": word})],
        [("feature_mark_failing", {"reason": word})],
    ]
    claim: list[Call] = [("feature_mark_in_progress", {}), ("feature_heartbeat", {"note": word})]
    feature = {"feature_id": draw(st.integers(1, STAGED))}
    steps = [("feature_update", {"description": word}), *claim, *draw(st.sampled_from(ends))]
    return [(tool, feature | more) for tool, more in steps]


def _twist_inside(draw: st.DrawFn, value: Any) -> None:
    """Replace a random value below the first level by junk, if there is one."""
    places: list[Any] = sorted(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    deep = [place for place in places if _holds(value[place]) and value[place]]
    deeper: bool = draw(st.booleans())
    if deep and deeper:
        _twist_inside(draw, value[draw(st.sampled_from(deep))])
    else:
        value[draw(st.sampled_from(places))] = draw(junk)


def _into_text(draw: st.DrawFn, arguments: dict[str, Any]) -> None:
    """Replace an array or object by JSON text, which may be cut off."""
    for name in sorted(name for name, value in arguments.items() if _holds(value)):
        text = json.dumps(arguments[name])
        arguments[name] = text[: draw(st.sampled_from([len(text), len(text), len(text) // 2]))]


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _impatient(arguments: dict[str, Any]) -> dict[str, Any]:
    """Limit the wait for work to `LONGEST_WAIT`."""
    wait = arguments.get("wait_seconds")
    try:
        if not isinstance(wait, bool | None) and LONGEST_WAIT < float(wait) <= 45:
            arguments["wait_seconds"] = LONGEST_WAIT
    except (TypeError, ValueError, OverflowError):
        pass
    return arguments
