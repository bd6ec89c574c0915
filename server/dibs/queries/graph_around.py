"""The features around one: those that it depends on and those that depend on it, the nearest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs.rules.diagnosis import find
from dibs_schema.status import SATISFIED
from dibs_schema.tables import dependencies

_D = dependencies.c
_ids: BindParameter[Any] = bindparam("ids", expanding=True)


# In no order: to sort by id, SQLite would read all edges.
def _next(of: Any, to: Any) -> Select[Any]:
    return select(to.label("id")).where(in_project(dependencies), of.in_(_ids)).limit(bindparam("rows"))


_needs, _dependents = _next(_D.feature_id, _D.dependency_id), _next(_D.dependency_id, _D.feature_id)
_edges = (
    select(_D.feature_id, _D.dependency_id)
    .where(in_project(dependencies), _D.feature_id.in_(_ids))
    .order_by(_D.feature_id, _D.dependency_id)
)
_shown = select(F.id, F.name, F.status, F.claimed_by).where(in_project(), F.id.in_(_ids)).order_by(F.id)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A feature of the graph, with its dependencies that are also in the graph."""

    id: int
    name: str
    status: str
    agent: str | None
    needs: tuple[int, ...]

    @property
    def is_unmet(self) -> bool:
        """Whether its dependents wait for it."""
        return self.status not in SATISFIED


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The features around one by their ids, and whether others were left out."""

    features: dict[int, Neighbour]
    cut: bool

    def longest_unmet_chain(self, feature: int) -> list[int]:
        """Return the longest chain of unmet dependencies that ends with the feature: why it is blocked."""
        best: dict[int, list[int]] = {}

        def chain(one: int) -> list[int]:
            if one not in best:
                unmet = (need for need in self.features[one].needs if self.features[need].is_unmet)
                best[one] = [*max(map(chain, unmet), key=len, default=[]), one]
            return best[one]

        return chain(feature)


def around(tx: Transaction, root: int, most: int) -> Neighbourhood:
    """Return `root` and the nearest features around it, at most `most` in all. Raises NotFound."""
    find(tx, root)
    found: dict[int, None] = {root: None}
    above, below = [root], [root]
    cut = False
    while above or below:
        above, left_out = _step(tx, _needs, above, found, most)
        below, more_left_out = _step(tx, _dependents, below, found, most)
        cut |= left_out or more_left_out
    needs: dict[int, list[int]] = {}
    for edge in tx.all(_edges, ids=list(found)):
        if edge["dependency_id"] in found:
            needs.setdefault(edge["feature_id"], []).append(edge["dependency_id"])
    rows = tx.all(_shown, ids=list(found))
    return Neighbourhood(
        {
            row["id"]: Neighbour(
                row["id"], row["name"], row["status"], row["claimed_by"], tuple(needs.get(row["id"], ()))
            )
            for row in rows
        },
        cut,
    )


def _step(
    tx: Transaction, statement: Select[Any], ids: list[int], found: dict[int, None], most: int
) -> tuple[list[int], bool]:
    """Add the next features to those `found`. Return the added ones, and whether there is no room for others."""
    if not ids:
        return [], False
    rows = tx.all(statement, ids=ids, rows=2 * most * len(ids))  # each of the ids may lead to the same ones
    new = sorted({row["id"] for row in rows} - found.keys())
    room = most - len(found)
    found |= dict.fromkeys(new[:room])
    return new[:room], len(new) > room
