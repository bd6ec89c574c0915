"""The graph of dependencies, as data or as a Mermaid flowchart."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Integer, bindparam, func, select

from dibs.database.transaction import Transaction
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
_below = (
    select(F.id, F.name, F.status)
    .join(_reached, _reached.c.id == F.id)
    .where(in_project())
    .order_by(_reached.c.depth, F.id)
    .limit(bindparam("most"))
)
_count_below = select(func.count()).select_from(_reached)
_every = select(F.id, F.name, F.status).where(in_project()).order_by(F.id).limit(bindparam("most"))
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
) -> Graph:
    """Return all features with their dependencies, or `root` and its dependencies up to `depth` edges away.

    `cut` is true if the answer omits some. Raises NotFound.
    """
    if root is None:
        rows, total = tx.all(_every, most=limit), tx.value(_count)
    else:
        find(tx, root)
        start = {"root": root, "zero": 0, "deepest": DEEPEST if depth is None else depth}
        rows, total = tx.all(_below, most=limit, **start), tx.value(_count_below, **start)
    nodes = _nodes(tx, rows)
    cut = len(nodes) < total
    if form == "json":
        return Graph(nodes=nodes, total=total, cut=cut)
    return Graph(mermaid=mermaid(nodes), total=total, cut=cut)


def _nodes(tx: Transaction, rows: Any) -> list[Node]:
    needs: dict[int, list[int]] = {}
    for edge in tx.all(_edges, ids=[row["id"] for row in rows]):
        needs.setdefault(edge["feature_id"], []).append(edge["dependency_id"])
    nodes: list[Node] = []
    room = ROOM
    for row in rows:
        name = truncate(row["name"], 60) or ""
        node = Node(id=row["id"], name=name, status=row["status"], depends_on=needs.get(row["id"], []))
        # A flowchart needs more bytes for each edge and quotation mark than data does.
        room -= json_bytes(node.wire()) + json_bytes(_label(name)) - json_bytes(name) + 20 * len(node.depends_on)
        if room < 0:
            break
        nodes.append(node)
    return nodes


def mermaid(nodes: list[Node]) -> str:
    """Return a flowchart with dependencies above their dependents, and the status after each name."""
    shown = {node.id for node in nodes}
    boxes = [f'  f{node.id}["{node.id} {_label(node.name)} ({node.status})"]' for node in nodes]
    arrows = [f"  f{need} --> f{node.id}" for node in nodes for need in node.depends_on if need in shown]
    return "\n".join(["flowchart TD", *boxes, *arrows])


def _label(name: str) -> str:
    return name.replace("#", "#35;").replace('"', "#quot;").replace("\n", " ")
