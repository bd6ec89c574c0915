"""Who may call what: every operation, by every role, for every agent and project, with every kind of access token."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, count, product
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, select

from authorization.conftest import AGENT, Tokens
from authorization.site import OTHER, Site, opened
from dibs.database import Database
from dibs.verbs.claim import mark_in_progress
from dibs.verbs.create import create_bulk
from dibs_schema.operations import OPERATIONS, AnyOperation
from dibs_schema.roles import Role
from dibs_schema.tables import events
from verbs.stage import named, new

MAY = {
    "coder": "claim_and_get mark_in_progress heartbeat clear_in_progress mark_passing mark_failing skip add_note "
    "request_human_input ask_user create",
    "tester": "heartbeat clear_in_progress mark_passing mark_failing add_note create get_for_regression",
    "planner": "clear_in_progress add_note answer_human_input ask_user approve return reject create create_bulk update "
    "move add_dependency remove_dependency set_dependencies get_graph get_overview",
    "viewer": "get_graph get_overview",
}
"""Which tools each role has besides READS, as the contract says. A tester claims only what it has reported itself."""
READS = "get_by_id get_summary search get_ready get_blocked get_history get_stats"
NEW = {"category": "shop", "name": "x", "description": "A thing.", "steps": ["look"], "allow_duplicates": True}
QUESTION = {"question": "Which?", "header": "Which", "options": ["a", "b"]}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "feature_mark_failing": {"reason": "broken"},
    "feature_skip": {"reason": "later"},
    "feature_request_human_input": {"prompt": "Which?"},
    "feature_answer_human_input": {"cancel": True},
    "ask_user": {"questions": [QUESTION]},
    "feature_add_note": {"text": "a note"},
    "feature_create": NEW,
    "feature_create_bulk": {"features": [{name: NEW[name] for name in NEW if name != "allow_duplicates"}]},
    "feature_update": {"name": "another"},
    "feature_return": {"feedback": "again"},
    "feature_reject": {"reason": "not needed"},
    "feature_move": {"to": "front"},
    "feature_add_dependency": {"dependency_id": 1},
    "feature_remove_dependency": {"dependency_id": 1},
    "feature_set_dependencies": {"dependency_ids": []},
}
"""The arguments of each tool besides the feature, the agent and the claim token."""
_acted = select(events.c.token_name).where(events.c.project_id == bindparam("project")).distinct()
WORKS = "live"
DEAD = ("none", "expired", "revoked", "malformed", "unknown")


class Cell(NamedTuple):
    """One combination: who calls, for whom, in which project, with what."""

    role: Role
    agent: str
    project: str
    token: str


CELLS = [Cell(*one) for one in product(Role, ("own", "foreign"), ("own", "foreign"), (WORKS, *DEAD))]


def pairwise(cells: list[Cell]) -> Iterator[Cell]:
    """Return cells in which each pair of values occurs that occurs in all of them."""
    seen: set[tuple[int, int, object, object]] = set()
    for cell in sorted(cells, key=lambda one: one.token != WORKS):
        pairs = {(a, b, cell[a], cell[b]) for a, b in combinations(range(4), 2)}
        if pairs - seen:
            seen |= pairs
            yield cell


def may(tool: str, role: Role) -> bool:
    """Return whether a role has a tool."""
    name = tool.removeprefix("feature_")
    return role is Role.ALL or name in READS.split() or name in MAY[role].split()


def expected(operation: AnyOperation, cell: Cell) -> set[str]:
    """Return the outcomes that a call may have: `other` stands for all but `forbidden`, `not_found` and the statuses."""
    if cell.token != WORKS:
        return {"401"}
    names_agent = {"agent", "claim_token"} & set(operation.parameters) and operation.tool != "feature_search"
    if not may(operation.tool, cell.role) or (
        cell.agent == "foreign" and "agent" in operation.parameters and names_agent
    ):
        return {"forbidden"}
    if cell.project == "foreign" and "feature_id" in operation.parameters and operation.tool != "feature_get_summary":
        return {"not_found"}  # a summary lists what is missing
    return {"forbidden"} if cell.agent == "foreign" and names_agent else {"other"}


@pytest.fixture(scope="module")
def backlog(shared: Site) -> Iterator[Database]:
    """The first project, with a feature."""
    with opened(shared.db) as database:
        database.write_now(lambda tx: create_bulk(tx, "admin", [new("one")]))
        yield database


def arguments(operation: AnyOperation, cell: Cell, backlog: Database, numbers: Iterator[int]) -> dict[str, Any]:
    """Return the arguments of a call about a new feature of the first project, claimed if the tool needs a claim."""
    given = dict(ARGUMENTS.get(operation.tool, {}))
    agent = AGENT if cell.agent == "own" else "mallory"
    if "feature_id" in operation.parameters and operation.tool != "ask_user":
        given["feature_id"] = 1
        if cell.token == WORKS:
            made = backlog.write_now(lambda tx: create_bulk(tx, "admin", [new(f"feature {next(numbers)}")]))
            given["feature_id"] = made.ids[0]
    if "claim_token" in operation.parameters:
        given["claim_token"] = "0" * 13
        if cell.token == WORKS:
            claimed = backlog.write_now(lambda tx: mark_in_progress(tx, named(agent), given["feature_id"]))
            given["claim_token"] = claimed.token
    if "agent" in operation.parameters:
        given["agent"] = agent
    return given


def test_the_table_of_this_test_has_every_operation() -> None:
    """Each operation is in the contract's list of some role, so that a new one cannot be left out here."""
    listed = {f"feature_{name}" for names in (READS, *MAY.values()) for name in names.split()} - {"feature_ask_user"}
    assert listed | {"ask_user"} == {one.tool for one in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.tool)
def test_a_call_is_carried_out_for_whom_the_contract_names(
    operation: AnyOperation, shared: Site, tokens: Tokens, backlog: Database, engine: str
) -> None:
    """Every combination has the answer that the contract gives it, and a call in another project changes nothing here."""
    numbers = count(1)
    wrong: list[str] = []
    for cell in CELLS if engine == "sqlite" else pairwise(CELLS):
        project = "default" if cell.project == "own" else OTHER
        secret = tokens.live[project, cell.role] if cell.token == WORKS else tokens.dead[cell.token]
        given = arguments(operation, cell, backlog, numbers)
        found = shared.outcome(secret, operation.tool, given)
        known = found if found in {"forbidden", "not_found", "401", "403", "404", "429", "500"} else "other"
        if known not in expected(operation, cell):
            wrong.append(f"{cell}: {found}, and not {expected(operation, cell)}")
    assert not wrong, "\n".join(wrong)
    acted = {row["token_name"] for row in backlog.read_now(lambda tx: tx.all(_acted))} - {None}
    assert not [name for name in acted if name.startswith(OTHER)]
    assert acted or operation.reads or engine != "sqlite", "the whole table has a cell that writes; pairs may have none"
