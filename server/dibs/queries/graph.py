"""The graph of dependencies, as data or as a Mermaid flowchart."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

from sqlalchemy import Integer, bindparam, func, select, tuple_

from dibs.database.transaction import Transaction
from dibs.queries.feature_rows import SHOWN_CATEGORY
from dibs.queries.search import invalid_cursor
from dibs.rules.conditions import F, in_project
from dibs.rules.diagnosis import find
from dibs.rules.truncate import json_bytes, truncate
from dibs_schema.answers import Graph, Node
from dibs_schema.tables import dependencies

_D = dependencies.c
ROOM = 9_000
"""Bytes of nodes in one answer."""
DEEPEST = 50
"""Depth from a root, if the caller gives none."""

# All dependencies of a root, direct or not, with each of their depths; `_reached` keeps the least.
_seed = select(
    bindparam("project", type_=Integer).label("project_id"),
    bindparam("root", type_=Integer).label("id"),
    bindparam("zero", type_=Integer).label("depth"),
).cte("near", recursive=True)
_near = _seed.union(
    select(_D.project_id, _D.dependency_id, _seed.c.depth + 1)
    .join(_seed, (_D.project_id == _seed.c.project_id) & (_D.feature_id == _seed.c.id))
    .where(_seed.c.depth < bindparam("deepest"))
)
_reached = select(_near.c.id, func.min(_near.c.depth).label("depth")).group_by(_near.c.id).subquery("reached")
_SHOWN = (F.id, F.name, F.category, F.status, F.priority)
_after_depth, _after_id = bindparam("after_depth", type_=Integer), bindparam("after_id", type_=Integer)
_below = (
    select(*_SHOWN, _reached.c.depth)
    .join(_reached, _reached.c.id == F.id)
    .where(in_project(), tuple_(_reached.c.depth, F.id) > tuple_(_after_depth, _after_id))
    .order_by(_reached.c.depth, F.id)
    .limit(bindparam("most"))
)
_count_below = select(func.count()).select_from(_reached)
_every = select(*_SHOWN).where(in_project(), F.id > _after_id).order_by(F.id).limit(bindparam("most"))
_count = select(func.count()).where(in_project(), F.id.is_not(None))
_edges = (
    select(_D.feature_id, _D.dependency_id)
    .where(in_project(dependencies), _D.feature_id.in_(bindparam("ids", expanding=True)))
    .order_by(_D.feature_id, _D.dependency_id)
)


def get_graph(
    tx: Transaction,
    *,
    root: int | None = None,
    depth: int | None = None,
    limit: int = 50,
    form: Literal["json", "mermaid"] = "json",
    cursor: str | None = None,
) -> Graph:
    """Return all features with their dependencies, or `root` and its dependencies up to `depth` edges away.

    `cut` is true if others follow, from the cursor `next_cursor`. Raises NotFound, and InvalidInput for another cursor.
    """
    after_depth, after = _place(cursor)
    deepest = DEEPEST if depth is None else depth
    if root is None:
        rows, total = tx.all(_every, most=limit + 1, after_id=after), tx.value(_count)
    else:
        find(tx, root)
        start = {"root": root, "zero": 0, "deepest": deepest}
        rows = tx.all(_below, most=limit + 1, after_depth=after_depth, after_id=after, **start)
        total = tx.value(_count_below, **start)
    nodes = _nodes(tx, rows[:limit])
    cut = len(nodes) < len(rows)
    following = f"{rows[len(nodes) - 1].get('depth', 0)}.{nodes[-1].id}" if cut else None
    if form == "json":
        return Graph(nodes=nodes, total=total, cut=cut, next_cursor=following)
    whole = {
        row["id"] for row in rows if root is None or row["depth"] < deepest
    }  # all their dependencies are in the graph
    return Graph(mermaid=mermaid(nodes, whole), total=total, cut=cut, next_cursor=following)


def _place(cursor: str | None) -> tuple[int, int]:
    """Return the depth and the feature id in a cursor, after which to continue."""
    if cursor is None:
        return 0, 0
    if not re.fullmatch(r"\d{1,2}\.\d{1,10}", cursor):
        raise invalid_cursor()
    depth, _, number = cursor.partition(".")
    return int(depth), int(number)


def _nodes(tx: Transaction, rows: Any) -> list[Node]:
    needs: dict[int, list[int]] = {}
    for edge in tx.all(_edges, ids=[row["id"] for row in rows]):
        needs.setdefault(edge["feature_id"], []).append(edge["dependency_id"])
    nodes: list[Node] = []
    room = ROOM
    for row in rows:
        name = truncate(row["name"], 60) or ""
        category = truncate(row["category"], SHOWN_CATEGORY) or ""
        node = Node(
            id=row["id"],
            name=name,
            category=category,
            status=row["status"],
            priority=row["priority"],
            depends_on=needs.get(row["id"], []),
        )
        # A flowchart needs more bytes for each edge and quotation mark than data does.
        room -= json_bytes(node.wire()) + json_bytes(_label(name)) - json_bytes(name) + 20 * len(node.depends_on)
        if room < 0 and nodes:
            break
        nodes.append(node)
    return nodes


def mermaid(nodes: list[Node], whole: Collection[int] = ()) -> str:
    """Return a flowchart with dependencies above their dependents, and the status after each name.

    The arrows from features on other pages are drawn for the nodes in `whole`.
    """
    shown = {node.id for node in nodes}
    boxes = [f'  f{node.id}["{node.id} {_label(node.name)} ({node.status})"]' for node in nodes]
    arrows = [
        f"  f{need} --> f{node.id}" for node in nodes for need in node.depends_on if need in shown or node.id in whole
    ]
    return "\n".join(["flowchart TD", *boxes, *arrows])


def _label(name: str) -> str:
    return name.replace("#", "#35;").replace('"', "#quot;").replace("\n", " ")
