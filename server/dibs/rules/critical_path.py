"""The height of a feature: the length of the longest chain that waits for it. It is stored if a project sorts by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project, of_feature, this
from dibs_schema.tables import dependencies, features

_D = dependencies.c
_edges = select(_D.feature_id, _D.dependency_id).where(in_project(dependencies))
_heights = select(F.id, F.height).where(in_project())
_set_height = update(features).where(this()).values(height=bindparam("tall"))
_forget = update(features).where(in_project(), F.height.is_not(None)).values(height=None)
_waiting_heights = (
    select(F.height)
    .join(dependencies, (_D.project_id == F.project_id) & (_D.feature_id == F.id))
    .where(in_project(dependencies), _D.dependency_id == bindparam("feature"))
)
_height_of = select(F.height).where(this())
_needs = select(_D.dependency_id).where(of_feature(dependencies))

_need = features.alias("need")
_too_low = (
    select(_D.dependency_id)
    .join(features, (F.project_id == _D.project_id) & (F.id == _D.feature_id))
    .join(_need, (_need.c.project_id == _D.project_id) & (_need.c.id == _D.dependency_id))
    .where(
        in_project(dependencies),
        _D.feature_id.in_(bindparam("ids", expanding=True)),
        _need.c.height <= F.height,
    )
)

ONE_BY_ONE = 50
"""With more changed features than this, recomputing all heights is cheaper than following each chain."""


def raise_heights(tx: Transaction, touched: Iterable[int]) -> None:
    """Recompute the heights of features whose dependents changed, and of their dependencies."""
    if tx.project.settings.order != "critical_path":
        return
    todo = list(touched)
    if len(todo) > ONE_BY_ONE:
        rebuild_heights(tx)
        return
    while todo:
        feature = todo.pop()
        tall = max((row["height"] + 1 for row in tx.all(_waiting_heights, feature=feature)), default=0)
        if tall != tx.value(_height_of, feature=feature):
            tx.run(_set_height, feature=feature, tall=tall)
            todo.extend(row["dependency_id"] for row in tx.all(_needs, feature=feature))


def raise_dependencies(tx: Transaction, added: Sequence[int]) -> None:
    """Raise the heights of what new features depend on, where they are too low."""
    if tx.project.settings.order != "critical_path":
        return
    low: set[int] = set()
    for start in range(0, len(added), 500):
        low |= {row["dependency_id"] for row in tx.all(_too_low, ids=added[start : start + 500])}
    raise_heights(tx, low)


def forget_heights(tx: Transaction) -> None:
    """Remove every height, after the project has stopped sorting by height."""
    tx.run(_forget)


def rebuild_heights(tx: Transaction) -> None:
    """Recompute every height in one pass, for example after the project has begun to sort by height."""
    heights = true_heights(tx)
    for row in tx.all(_heights):
        height = heights.get(row["id"], 0)
        if height != row["height"]:
            tx.run(_set_height, feature=row["id"], tall=height)


def true_heights(tx: Transaction) -> dict[int, int]:
    """Return the heights that follow from the dependencies: 0 for a feature without dependents."""
    return path_heights((row["feature_id"], row["dependency_id"]) for row in tx.all(_edges))


def path_heights(edges: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the heights that follow from edges, each a feature and one that it depends on; others have 0."""
    needs: dict[int, list[int]] = defaultdict(list)
    waiting: dict[int, int] = defaultdict(int)
    for feature, need in edges:
        needs[feature].append(need)
        waiting[need] += 1
    heights: dict[int, int] = defaultdict(int)
    complete = [feature for feature in needs if not waiting[feature]]
    while complete:
        feature = complete.pop()
        for need in needs.get(feature, ()):
            heights[need] = max(heights[need], heights[feature] + 1)
            waiting[need] -= 1
            if not waiting[need]:
                complete.append(need)
    return heights
