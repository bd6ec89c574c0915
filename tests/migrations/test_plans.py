"""Every prepared statement finds its rows by an index."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Delete, Executable, Select, Update

import dibs.queries
import dibs.rules
import dibs.transfer
import dibs.verbs
from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.rules import claimable
from dibs.settings import Settings
from dibs.verbs import claim, lease, verify

pytestmark = pytest.mark.only_on("sqlite", reason="it reads how this engine explains its plans")

READS_ALL = {
    "audit": "the audit reads every row",
    "replayed_events": "likewise",
    "stats": "groups are counted over every row",
    "critical_path._edges": "a rebuild follows every edge",
    "critical_path._heights": "a rebuild sets every height",
    "critical_path._forget": "heights are dropped when the order changes",
    "graph._every": "the first page of a graph without a root",
    "graph._count": "the total of a graph without a root",
    "sources._all": "an import compares names and references with those of every list",
    "project_rows": "a copy reads the whole project",
    "adopt._ended": "a server that is started with the token of a claim that has ended looks for it once",
    "suggestions._ids": "a completion matches any part of a number or name, as a search does",
    "suggestions._categories": "likewise",
    "events._last_claim_of": "it reads the latest 10,000 events, by their ids",
    "queue_state._by_status_there": "a category has no index of its own",
}
"""Statements that may read a whole project, and why. A module's name stands for all of its statements."""

LARGE = ("features", "dependencies", "events", "requests")
"""The tables that grow."""

NARROW = (
    "features_ready_by_priority",
    "features_ready_by_critical_path",
    "features_leases",
    "features_holders",
    "features_tested",
    "features_resting",
    "features_priority",
)
"""Partial indexes: a range over one of them reads only the rows in question."""


def statements() -> dict[str, Executable]:
    """Return every statement that a verb's module builds, at import or on demand."""
    found: dict[str, Executable] = {}
    for package in (dibs.rules, dibs.queries, dibs.verbs, dibs.transfer):
        for module in pkgutil.iter_modules(package.__path__):
            for name, value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).items():
                if isinstance(value, Select | Update | Delete):
                    found.setdefault(f"{module.name}.{name}", value)
    for order in ("priority", "critical_path"):
        for by_category in (False, True):
            found[f"claim.next_claim({order}, {by_category})"] = claim.next_claim(order, by_category=by_category)
            looked_at = claimable.queue_with_areas(order, by_category=by_category)
            found[f"claimable.queue_with_areas({order}, {by_category})"] = looked_at
    return found


STATEMENTS = statements()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A migrated database. Without statistics, its plans do not depend on its content."""
    opened = open_database(Settings(db=str(tmp_path_factory.mktemp("plans") / "features.db")))
    yield opened
    opened.close(patience=5)


def plan(database: Database, statement: Executable) -> list[str]:
    """Return the lines of a statement's query plan, with unbound parameters as at run time."""
    assert isinstance(statement, ClauseElement)

    def explain(tx: Transaction) -> list[str]:
        compiled: Any = statement.compile(dialect=tx.connection.dialect)
        lists = {name for one, name in compiled.bind_names.items() if one.expanding}
        given = {name: [1, 2] if name in lists else 1 for name in compiled.bind_names.values()}
        whole = compiled.construct_expanded_state(compiled.params | given)
        values = tuple(1 for _ in whole.positiontup or ())
        rows = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {whole.statement}", values)
        return [row[3] for row in rows]

    return database.read_now(explain)


def reads_much(line: str, aliases: dict[str, str]) -> bool:
    """Return whether a line of a plan scans a large table, or all rows of one project in it."""
    if line.startswith("SEARCH") and "INTEGER PRIMARY KEY (rowid=?)" in line:
        return False  # one row, by its number
    match = re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+)(?: \((.*)\))?)?", line)
    if match is None:
        return False
    how, table, index, terms = match.groups()
    if aliases.get(table, table) not in LARGE:
        return False
    if index in NARROW:
        return False
    return how == "SCAN" or terms is None or terms == "project_id=?"


ALIASES = {
    "queue": "features",
    "mine": "features",
    "needed": "features",
    "everything": "features",
    "holder": "features",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_finds_its_rows_by_an_index(database: Database, name: str) -> None:
    """No statement scans all features, dependencies, events or requests, except the listed ones."""
    lines = plan(database, STATEMENTS[name])
    if name in READS_ALL or name.split(".", maxsplit=1)[0] in READS_ALL:
        return
    assert not [line for line in lines if reads_much(line, ALIASES)], "\n".join(lines)


def test_what_may_read_all_exists() -> None:
    """Each listed exception is still a statement or a module."""
    known = STATEMENTS.keys() | {name.split(".")[0] for name in STATEMENTS}
    assert READS_ALL.keys() <= known


INDEXES = [
    ("the queue by priority", claim.next_claim("priority", by_category=False), "features_ready_by_priority"),
    ("a category by priority", claim.next_claim("priority", by_category=True), "features_ready_by_priority"),
    (
        "the queue by critical path",
        claim.next_claim("critical_path", by_category=False),
        "features_ready_by_critical_path",
    ),
    (
        "a category by critical path",
        claim.next_claim("critical_path", by_category=True),
        "features_ready_by_critical_path",
    ),
    ("the reaper", lease._expired, "features_leases"),
    ("the reaper's look", lease._count_expired, "features_leases"),
    ("the count of what one name holds", claim._claim_this, "features_holders"),
    ("the least recently tested", verify._least_recent, "features_tested"),
]


@pytest.mark.parametrize(("statement", "index"), [case[1:] for case in INDEXES], ids=[case[0] for case in INDEXES])
def test_a_hot_path_uses_the_index_made_for_it(database: Database, statement: Executable, index: str) -> None:
    """The queue, the reaper and the count of a holder's claims each have an index, and use it."""
    lines = plan(database, statement)
    assert any(f"INDEX {index}" in line for line in lines), "\n".join(lines)


@pytest.mark.parametrize("statement", [case[1] for case in INDEXES[:4]], ids=[case[0] for case in INDEXES[:4]])
def test_the_queue_is_read_in_its_order(database: Database, statement: Executable) -> None:
    """The next feature is the first entry of its index: nothing is sorted."""
    assert not [line for line in plan(database, statement) if "TEMP B-TREE" in line]


def test_the_list_of_statements_is_not_empty_by_accident() -> None:
    """The statements are found where the verbs build them."""
    assert len(STATEMENTS) > 50
