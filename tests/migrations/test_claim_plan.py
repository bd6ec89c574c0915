"""The cost of a claim on a large PostgreSQL backlog."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import ClientCursor

from clusters.shared import Server, fresh_database
from dibs.database import Database, open_database
from dibs.database.compiled import prepared
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs.claim_in_one_statement import one_statement, one_statement_parameters

FEATURES, BLOCKED = 300_000, 10_000
BUFFERS = 50
"""Pages of 8 KiB that a claim may touch, however many other rows the tables have."""

FILL = """
INSERT INTO features (project_id, id, status, priority, skips, unmet_dependencies, attempts, failures, created_by,
    created_at, updated_at, category, name, steps, description, height, passed_at)
SELECT {project}, n, CASE WHEN n > {passing} THEN 'pending' ELSE 'passing' END, {total} - n, 0,
    CASE WHEN n > {total} - {blocked} THEN 1 ELSE 0 END, 0, 0, 'test', 0, 0, 'area ' || n % 12, 'feature ' || n,
    '["check it"]', repeat('text ', 40), 0, CASE WHEN n > {passing} THEN NULL ELSE 0 END
FROM generate_series(1, {total}) n
"""


@pytest.fixture(scope="module")
def url(postgres: Server, migrated: str) -> Iterator[str]:
    """A backlog of 300,000 features: first 10,000 with unmet dependencies, then 3,000 ready ones; the rest pass."""
    with fresh_database(postgres, migrated) as made:
        opened = open_database(Settings(db=made))
        project = opened.read_now(lambda tx: tx.project.id)
        opened.close(patience=5)
        numbers = {
            "total": FEATURES,
            "passing": FEATURES - BLOCKED - 3_000,
            "blocked": BLOCKED,
            "project": project,
        }
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute(FILL.format(**numbers))
            connection.execute("VACUUM ANALYZE features")
        yield made


def explained(database: Database, order: str, category: str | None) -> dict[str, Any]:
    """Return the claim's plan with its real page counts, and roll the claim back."""

    def explain(tx: Transaction) -> dict[str, Any]:
        statement = prepared(one_statement(order, by_category=category is not None), tx.connection.dialect)
        who = Holder("client-0", named=False, session="here", lease=120)
        values = statement.values(tx.parameters | one_statement_parameters(tx, who, category))
        driver: Any = tx.connection.connection.dbapi_connection
        with ClientCursor(driver) as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.text, values)
            return dict(cursor.fetchone()[0][0]["Plan"])  # type: ignore[index]  # one row

    plan: list[dict[str, Any]] = []

    class Undone(Exception):  # noqa: N818 - it says what became of the claim
        """Rolls a transaction back."""

    def undone(tx: Transaction) -> None:
        plan.append(explain(tx))
        raise Undone

    with pytest.raises(Undone):
        database.write_now(undone)
    return plan[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("category", [None, "area 3"])
@pytest.mark.parametrize("order", ["priority", "critical_path"])
def test_a_claim_reads_the_head_of_its_index_and_little_else(url: str, order: str, category: str | None) -> None:
    """However many features pass or wait, a claim finds its row by the queue's partial index, in few pages."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE projects SET claim_order = %s", [order])
    database = open_database(Settings(db=url))
    try:
        for _ in range(3):  # pages that are read once for a connection, or for a table's first row, do not count
            plan = explained(database, order, category)
    finally:
        database.close(patience=5)
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert f"features_ready_by_{order}" in used, json.dumps(plan)
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "features"]
    changing = [node for node in nodes(plan) if node["Node Type"] == "ModifyTable"]
    assert len(changing) == 2, "the move and its event"
    touched = sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in changing)
    assert 0 < touched < BUFFERS, json.dumps(plan)
