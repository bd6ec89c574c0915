"""Change dependencies between features, without cycles and duplicates."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Integer, bindparam, delete, func, insert, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import of_feature, this
from dibs.rules.critical_path import raise_heights
from dibs.rules.dependencies import marked_for_recheck
from dibs.rules.diagnosis import find
from dibs.rules.events import record
from dibs.verbs.batch import find_cycle
from dibs.verbs.create import known_statuses, refuse_too_many
from dibs_schema.answers import Acknowledgement
from dibs_schema.next_step import Step
from dibs_schema.refusals import WouldCycle
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import dependencies, features

_D = dependencies.c
_insert = insert(dependencies).values(
    project_id=bindparam("project"), feature_id=bindparam("feature"), dependency_id=bindparam("needed")
)
_delete = delete(dependencies).where(of_feature(dependencies), _D.dependency_id == bindparam("needed"))
_needs = select(_D.dependency_id).where(of_feature(dependencies)).order_by(_D.dependency_id)
_count_more = (
    update(features)
    .where(this())
    .values(
        unmet_dependencies=features.c.unmet_dependencies + bindparam("more"),
        recheck_since=marked_for_recheck(bindparam("added_unmet", type_=Integer) > 0),
        updated_at=bindparam("now"),
    )
    .returning(features.c.unmet_dependencies, features.c.status)
)

# All dependencies of `start`, direct or not. UNION removes rows that were found before.
_seed = select(
    bindparam("project", type_=Integer).label("project_id"), bindparam("start", type_=Integer).label("id")
).cte("reached", recursive=True)
_reached = _seed.union(
    select(_D.project_id, _D.dependency_id).join(
        _seed, (_D.project_id == _seed.c.project_id) & (_D.feature_id == _seed.c.id)
    )
)
_reaches = select(func.count()).select_from(_reached).where(_reached.c.id == bindparam("feature"))
_edges_below = select(_D.feature_id, _D.dependency_id).join(
    _reached, (_D.project_id == _reached.c.project_id) & (_D.feature_id == _reached.c.id)
)

SHOWN_PATH = 50
AWAITS_RECHECK = "It passes, and awaits a recheck."


def add_dependency(tx: Transaction, by: str, feature: int, dependency: int) -> Acknowledgement:
    """Make `feature` depend on `dependency`. Adding an existing dependency changes nothing.

    Raises NotFound, WouldCycle (with the path), TooManyDependencies.
    """
    find(tx, feature)
    before = dependencies_of(tx, feature)
    return _change(tx, by, feature, before, [*before, dependency])


def remove_dependency(tx: Transaction, by: str, feature: int, dependency: int) -> Acknowledgement:
    """Remove a dependency. Removing one that does not exist changes nothing. Raises NotFound."""
    find(tx, feature)
    find(tx, dependency)
    before = dependencies_of(tx, feature)
    return _change(tx, by, feature, before, [one for one in before if one != dependency])


def set_dependencies(tx: Transaction, by: str, feature: int, wanted: list[int]) -> Acknowledgement:
    """Replace all dependencies of `feature`. Raises NotFound, WouldCycle, TooManyDependencies."""
    find(tx, feature)
    return _change(tx, by, feature, dependencies_of(tx, feature), wanted)


def _change(tx: Transaction, by: str, feature: int, before: list[int], wanted: Iterable[int]) -> Acknowledgement:
    after = sorted(set(wanted))
    added = [one for one in after if one not in before]
    removed = [one for one in before if one not in after]
    statuses = known_statuses(tx, [*added, *removed])
    for one in added:
        _refuse_cycle(tx, feature, one)
    if added:
        refuse_too_many(tx, feature, len(after))
    for one in removed:
        tx.run(_delete, feature=feature, needed=one)
    for one in added:
        tx.run(_insert, feature=feature, needed=one)
    unmet = [one for one in added if statuses[one] not in SATISFIED]
    less = sum(statuses[one] not in SATISFIED for one in removed)
    row = tx.first(_count_more, feature=feature, more=len(unmet) - less, added_unmet=len(unmet))
    assert row is not None, "this transaction has found the feature"
    status, recheck = row["status"], bool(unmet) and row["status"] == Status.PASSING
    if added or removed:
        record(tx, by, Kind.DEPEND, feature, status, status, added=added, removed=removed, recheck=recheck or None)
        raise_heights(tx, [*added, *removed])
    changed = [f"+{one}" for one in added[:5]] + [f"-{one}" for one in removed[:5]]
    return Acknowledgement(
        id=feature,
        status=status,
        unmet_dependencies=row["unmet_dependencies"],
        changed=changed,
        hint=AWAITS_RECHECK if recheck else None,
    )


def dependencies_of(tx: Transaction, feature: int) -> list[int]:
    """Return the features that a feature depends on."""
    return [row["dependency_id"] for row in tx.all(_needs, feature=feature)]


def _refuse_cycle(tx: Transaction, feature: int, dependency: int) -> None:
    if feature == dependency:
        raise WouldCycle(
            f"Feature {feature} cannot depend on itself.",
            next=[
                Step(
                    "feature_add_dependency",
                    {"feature_id": feature},
                    "to depend on another feature",
                    needs=("dependency_id",),
                )
            ],
            path=[feature, feature],
        )
    if not tx.value(_reaches, start=dependency, feature=feature):
        return
    below = [(row["feature_id"], row["dependency_id"]) for row in tx.all(_edges_below, start=dependency)]
    path = find_cycle([(feature, dependency), *((one, other) for one, other in below if one != feature)])
    assert path is not None, "the feature was reached"
    shown = path if len(path) <= SHOWN_PATH else [*path[: SHOWN_PATH - 1], path[-1]]
    arrows = " -> ".join(map(str, shown[:12])) + (" -> …" if len(shown) > 12 else "")
    raise WouldCycle(
        f"Feature {feature} cannot depend on {dependency}, which already waits for it: {arrows}.",
        next=[
            Step(
                "feature_remove_dependency",
                {"feature_id": path[1], "dependency_id": path[2]},
                "to remove one of these dependencies first",
            )
        ],
        path=shown,
        length=len(path) - 1,
    )
