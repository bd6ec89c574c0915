"""The rules for an answer: a result, a documented refusal or a protocol error, without a library's words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it comes without types

from dibs.mcp.definitions import definitions
from dibs_schema.refusals import Unavailable, all_codes
from dibs_schema.roles import Role

Message = dict[str, Any]

REFUSALS = all_codes()
HEALTHY = {code for code, kind in REFUSALS.items() if not issubclass(kind, Unavailable)}
"""The codes that are allowed while the database is healthy."""

PROTOCOL = {
    -32700: "parse error",
    -32600: "invalid request",
    -32601: "no such method",
    -32602: "invalid params",
}
"""JSON-RPC's own errors except -32603, which means a bug in the server."""

BUDGET = 10_000
"""Characters of any answer (design, section 5)."""

FOREIGN = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|sqlalchemy|sqlite3|sqlite_|psycopg|pydantic|asyncio|anyio"
    r"|\bselect\b.+\bfrom\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b|PRAGMA|UNIQUE constraint|CHECK constraint"
    r"|(?<!\bfeature)(?<!\bfeatures)(?<=\w)://|/root\b|/tmp\b|/home\b|/usr\b|0x[0-9a-f]{6}|\b\w+Error\b|_type=|input_value",
    re.IGNORECASE,
)
"""Words of libraries, statements, paths and addresses (except of resources), which no generated call contains."""

NAMES_DATABASE = ("feature_get_stats", "feature_get_overview")
"""The tools whose answers say which database is served."""

_OUTPUTS = {tool.name: Draft202012Validator(tool.output_schema) for tool in definitions(Role.ALL)}


class Tally:
    """The number of answers of each kind."""

    def __init__(self) -> None:
        self.calls = 0
        self.results: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def __str__(self) -> str:
        refused, wrong = sum(self.refusals.values()), sum(self.errors.values())
        return (
            f"{self.calls} calls: {sum(self.results.values())} results, {refused} refusals, {wrong} protocol errors\n"
            f"  refusals: {_listed(self.refusals)}\n"
            f"  results: {_listed(self.results)}" + (f"\n  protocol errors: {_listed(self.errors)}" if wrong else "")
        )

    def take(self, tool: str, message: Message, db: str) -> bool:
        """Check the answer to a call of `tool`, and return whether the call was served. Raises AssertionError."""
        self.calls += 1
        assert_no_foreign_word(message, db if tool in NAMES_DATABASE else None)
        if "error" in message:
            self.errors[protocol_error(message)] += 1
            return False
        content = _content(message["result"])
        misfit = next(_OUTPUTS[tool].iter_errors(content), None)
        assert misfit is None, f"not what is declared: {misfit.message[:500]}"
        if message["result"].get("isError", False):
            self.refusals[_refusal(content)] += 1
            return False
        self.results[tool] += 1
        return True


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _content(result: Message) -> Message:
    """Return the structured content, after checking that the text repeats it."""
    assert result.keys() <= {"content", "structuredContent", "isError", "resultType"}, result.keys()
    (block,) = result["content"]
    content: Message = result["structuredContent"]
    assert block["type"] == "text"
    assert block["text"] == json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    assert len(block["text"]) <= BUDGET, f"{len(block['text'])} characters"
    assert not list(_empty(content)), f"nulls or empty lists: {content}"
    return content


def _empty(value: Any) -> Iterator[Any]:
    """Yield each null in the content. The contract leaves nulls out."""
    if value is None:
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _empty(one)


def _refusal(content: Message) -> str:
    assert content.keys() == {"error"}
    error = content["error"]
    code = error["code"]
    assert code in HEALTHY, f"{code}: nothing is wrong with the database. {error}"
    assert error["retryable"] is REFUSALS[code].retryable
    assert isinstance(error["message"], str)
    assert error["message"].strip()
    assert len(error["message"]) <= 1_000
    return str(code)


def protocol_error(message: Message) -> str:
    """Return the name of a JSON-RPC error, after checking its shape."""
    assert message.keys() == {"jsonrpc", "id", "error"}, message
    error = message["error"]
    assert error["code"] in PROTOCOL, message
    assert isinstance(error["message"], str)
    return PROTOCOL[error["code"]]


def assert_no_foreign_word(message: Message, but: str | None = None) -> None:
    """Assert that the message has no words of a library, a statement or a path, except the allowed words."""
    result = message.get("result", {})
    if "tools" in result:
        return  # the definitions, which no call changes; tests/tools compares them with what is published
    said = json.dumps(result.get("structuredContent", message), ensure_ascii=False)
    found = FOREIGN.search(said.replace(but, "") if but else said)
    assert found is None, f"{found[0]!r} in {said[max(0, found.start() - 200) : found.end() + 200]}"
