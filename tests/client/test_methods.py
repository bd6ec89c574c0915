"""A method for every tool, with the tool's parameters; and nothing is loaded before it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter

from dibs.client import Backlog, SyncBacklog
from dibs.client.tools import TOOLS, Row
from dibs.mcp.catalogue import CATALOGUE, build
from dibs_schema.answers import Answer
from dibs_schema.roles import Role

EACH = pytest.mark.parametrize("row", TOOLS, ids=[row.method for row in TOOLS])
DEFINITIONS = build(Role.ALL)
FUNCTIONS = {entry.function.__name__: entry for entry in CATALOGUE}


def test_every_tool_has_a_method() -> None:
    """The table names each tool of the catalogue once, in its order, and each method exists in both kinds."""
    assert [row.tool for row in TOOLS] == list(DEFINITIONS)
    assert len({row.method for row in TOOLS}) == len(TOOLS)
    assert [row.method for row in TOOLS if not hasattr(Backlog, row.method)] == []


@EACH
def test_a_method_takes_what_its_tool_takes(row: Row) -> None:
    """Names, order, and which of them can be left out are those of the tool's function."""
    taken = list(inspect.signature(getattr(Backlog, row.method)).parameters.values())[1:]
    wanted = list(inspect.signature(FUNCTIONS[row.tool].function).parameters.values())[1:]
    assert [(one.name, one.default) for one in taken] == [(one.name, one.default) for one in wanted]


@EACH
def test_a_parameter_has_a_type_that_the_tool_accepts(row: Row) -> None:
    """Each kind of JSON value that a method sends is one that the tool's schema knows, and the other way round."""
    hints = get_type_hints(getattr(Backlog, row.method), include_extras=True)
    schema = DEFINITIONS[row.tool].parameters
    for name, definition in schema["properties"].items():
        sent = kinds(TypeAdapter(hints[name]).json_schema()) - {"null"}
        accepted = kinds(definition)
        assert accepted <= sent, name
        assert sent <= accepted | TEXT_FOR_SHORT.get(name, set()), name


TEXT_FOR_SHORT = {"evidence": {"string"}}
"""Where a text stands for an object, which the tool accepts without saying so."""


def kinds(schema: dict[str, Any]) -> set[str]:
    """The kinds of JSON values that fit a schema at its top."""
    if "$ref" in schema or schema.get("type") == "object":
        return {"object"}
    if "enum" in schema or "const" in schema:
        return {"string"}
    if "anyOf" in schema:
        return set[str]().union(*(kinds(one) for one in schema["anyOf"]))
    return {schema["type"]}


@EACH
def test_a_method_returns_what_its_tool_answers(row: Row) -> None:
    """The models that a method may return are those of the tool's function."""
    returned = get_type_hints(getattr(Backlog, row.method))["return"]
    answered = get_type_hints(FUNCTIONS[row.tool].function)["return"]
    assert models(returned) == models(answered)


def models(hint: Any) -> set[type[Answer]]:
    """The models of answers in a type."""
    return {one for one in get_args(hint) or (hint,) if issubclass(one, Answer)}


@EACH
def test_what_is_repeated_has_no_further_effect(row: Row) -> None:
    """A call that may have acted is repeated without a key only where the catalogue says that it can be."""
    entry = FUNCTIONS[row.tool]
    assert row.repeatable == (entry.repeatable or entry.reads)


@EACH
def test_both_kinds_have_the_same_methods(row: Row) -> None:
    """A method of SyncBacklog has the signature, and the words, of the one that it waits for."""
    there, here = getattr(Backlog, row.method), getattr(SyncBacklog, row.method)
    assert inspect.signature(here) == inspect.signature(there)
    assert here.__doc__ == there.__doc__ != ""
    assert inspect.iscoroutinefunction(there)
    assert not inspect.iscoroutinefunction(here)


def test_what_is_no_tool_is_in_both_kinds_too() -> None:
    """Ways in, blocks and the journal have the same parameters in both."""
    for name in ("open", "start", "connect", "claim", "holds", "follow"):
        there, here = getattr(Backlog, name), getattr(SyncBacklog, name)
        assert list(inspect.signature(here).parameters) == list(inspect.signature(there).parameters), name


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import dibs.client", ("sqlalchemy", "alembic", "mcp", "pydantic", "anyio")),
        ("import dibs.client.pytest_plugin", ("sqlalchemy", "mcp", "pydantic", "anyio")),
        ("from dibs.client import Backlog, SyncBacklog", ("sqlalchemy", "alembic", "mcp")),
        ("import dibs.client.wires", ("sqlalchemy", "alembic")),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    """Who imports the client waits neither for the database's library nor, mostly, for the protocol's."""
    program = f"import sys; {code}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
