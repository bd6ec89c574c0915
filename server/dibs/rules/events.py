"""The event log: each transition writes exactly one event, in its own transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Select, Update, bindparam, func, insert, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import among, literal_text, of_feature
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events

_E = events.c
TOKEN_NAME: BindParameter[str | None] = bindparam("token_name", type_=_E.token_name.type)
"""The name of the access token by which the caller came, or null."""

_record = hot(
    insert(events).values(
        project_id=bindparam("project"),
        feature_id=bindparam("feature"),
        at=bindparam("now"),
        agent=bindparam("by"),
        kind=bindparam("move"),
        from_status=bindparam("source"),
        to_status=bindparam("target"),
        detail=bindparam("what", type_=events.c.detail.type),
        token_name=bindparam("token_name"),
    )
)

_last = hot(
    select(_E.at, _E.detail, _E.to_status)
    .where(of_feature(events), _E.kind == bindparam("move"))
    .order_by(_E.id.desc())
    .limit(1)
)

RECENT = 10_000
"""The number of the latest events of all projects among which an agent's last claim is looked for."""
_newest = events.alias("newest")
_last_claim_of = (
    select(_E.feature_id)
    .where(
        _E.project_id + 0 == bindparam("project"),  # no index of the project: the range of ids is short
        _E.id > select(func.max(_newest.c.id) - RECENT).scalar_subquery(),
        _E.agent == bindparam("holder"),
        among(_E.kind, (Kind.CLAIM, Kind.RESUME)),
    )
    .order_by(_E.id.desc())
    .limit(1)
)
_last_holder = (
    select(_E.agent)
    .where(of_feature(events), among(_E.kind, (Kind.CLAIM, Kind.RESUME)))
    .order_by(_E.id.desc())
    .limit(1)
)


def record(
    tx: Transaction,
    by: str,
    kind: Kind,
    feature: int | None,
    source: Status | str | None = None,
    target: Status | str | None = None,
    **detail: Any,
) -> None:
    """Write the event of one transition. `detail` has JSON values; None and empty lists are omitted."""
    tx.wakes = tx.wakes or _may_end_a_wait(kind, source, target)
    what = {name: value for name, value in detail.items() if value is not None and value != []} or None
    tx.run(_record, feature=feature, by=by, move=kind.value, source=source, target=target, what=what)


def with_event(transition: Update, kind: Kind, source: Status, target: Status) -> Select[Any]:
    """Return a guarded transition and its event as one statement, which returns the changed row."""
    moved = transition.cte("moved")
    columns = ("project_id", "feature_id", "at", "agent", "kind", "from_status", "to_status", "token_name")
    event = insert(events).from_select(
        columns,
        select(
            moved.c.project_id,
            moved.c.id,
            bindparam("now", type_=_E.at.type),
            bindparam("by", type_=_E.agent.type),
            *map(literal_text, (kind, source, target)),
            TOKEN_NAME,
        ),
    )
    return select(moved).add_cte(event.cte("recorded"))


def _may_end_a_wait(kind: Kind, source: Status | str | None, target: Status | str | None) -> bool:
    """Return whether a feature or its files may be ready now, or all work may be done. A pass decides that itself."""
    became_pending = target == Status.PENDING and kind not in (Kind.UPDATE, Kind.NOTE, Kind.UNMET)
    set_aside = source == Status.IN_PROGRESS and target in (Status.STUCK, Status.NEEDS_HUMAN)
    return became_pending or set_aside or kind in (Kind.ARCHIVE, Kind.DEPEND)


def last_detail(tx: Transaction, feature: int, kind: Kind) -> dict[str, Any]:
    """Return the detail of the feature's latest event of that kind."""
    row = tx.first(_last, feature=feature, move=kind.value)
    return dict(row["detail"] or {}) if row is not None else {}


def last_claim_of(tx: Transaction, name: str) -> int | None:
    """Return the feature that was claimed last under a name, among the latest events, or None."""
    feature: int | None = tx.value(_last_claim_of, holder=name)
    return feature


def last_holder(tx: Transaction, feature: int) -> str | None:
    """Return the name under which the feature was claimed last, or None."""
    name: str | None = tx.value(_last_holder, feature=feature)
    return name


def record_all(tx: Transaction, by: str, kind: Kind, rows: list[dict[str, Any]]) -> None:
    """Write many events, each with `feature_id`, and with `from_status`, `to_status` and `detail` if it has them."""
    tx.wakes = tx.wakes or any(_may_end_a_wait(kind, row.get("from_status"), row.get("to_status")) for row in rows)
    common = {"project_id": tx.project.id, "at": tx.now, "agent": by, "kind": kind.value}
    common |= {"token_name": tx.parameters["token_name"]}
    tx.insert(events, [common | {"from_status": None, "detail": None} | row for row in rows])
