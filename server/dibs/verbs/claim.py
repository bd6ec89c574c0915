"""Claim a feature: exactly one caller receives it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, Update, bindparam, case, func, select, update

from dibs.database.compiled import hot
from dibs.database.engine import NotApplied
from dibs.database.transaction import Row, Transaction
from dibs.queries.handover import work_of
from dibs.queries.queue_state import why_idle
from dibs.rules.claimant import Holder, is_alias, is_served, new_token
from dibs.rules.conditions import (
    F,
    among,
    disconnected,
    held,
    in_project,
    is_,
    leased,
    literal,
    literal_text,
    queue_order,
    ready,
    renewed_lately,
    this,
)
from dibs.rules.diagnosis import find, refuse_claim, refuse_lost
from dibs.rules.events import last_claim_of, last_holder, record
from dibs.rules.file_areas import files_are_free
from dibs_schema.answers import Acknowledgement, Claimed, Idle, Lease
from dibs_schema.next_step import Step
from dibs_schema.refusals import AlreadyHolding, InvalidInput, TooManyClaims
from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import features

_mine = features.alias("mine")


def _of_holder(table: FromClause) -> ColumnElement[bool]:
    """Claimed by the parameter `holder`, through the connection `counted_session` unless that is NULL."""
    session: BindParameter[str] = bindparam("counted_session")
    return (table.c.claimed_by == bindparam("holder")) & ((table.c.claim_session == session) | session.is_(None))


_count_mine = select(func.count()).where(in_project(_mine), is_(Status.IN_PROGRESS, _mine), _of_holder(_mine))

_RENEWED: dict[Any, Any] = {
    F.claim_session: bindparam("session"),
    F.lease_clock: bindparam("clock"),
    F.lease_ends: bindparam("reading") + bindparam("lease"),
    F.lease_seconds: bindparam("lease"),
    F.lease_expires_at: bindparam("now") + bindparam("lease"),
    F.last_activity_at: bindparam("now"),
    F.updated_at: bindparam("now"),
}
_LEASED: dict[Any, Any] = {
    F.claim_token: bindparam("fresh"),
    F.claimed_by: bindparam("holder"),
    F.claimed_at: bindparam("now"),
    **_RENEWED,
}

_claim = hot(
    update(features)
    .where(ready(), _count_mine.scalar_subquery() < bindparam("most"))
    .values({F.status: literal(Status.IN_PROGRESS), F.attempts: F.attempts + 1, F.not_before: None, **_LEASED})
    .returning(*features.c)
)
_claim_this = _claim.where(this(), files_are_free())

_claim_left_behind = _claim_this.where(among(F.ended_by, (*ConnectionEnd, Kind.EXPIRE)))


@cache
def next_claim(claim_order: str, *, by_category: bool, autocommit: bool = False) -> Update:
    """Return the claim of the first feature of the queue, or of its first feature in `category_`.

    Concurrent claims in `autocommit` do not see each other. Therefore they claim no feature that has paths: if the
    first feature has paths, the statement claims nothing.
    """
    queue = features.alias("queue")
    first = select(queue.c.id).where(in_project(queue), ready(queue))
    if not autocommit:
        first = first.where(files_are_free(queue))
    if claim_order == "critical_path":
        first = first.where(queue.c.height.is_not(None))
    if by_category:
        first = first.where(queue.c.category == bindparam("category_"))
    first = first.order_by(*queue_order(claim_order, queue)).limit(1).with_for_update(skip_locked=True)
    statement = _claim.where(in_project(), F.id == first.scalar_subquery())
    return statement.where(F.paths.is_(None)) if autocommit else statement


_claims_of_holder = hot(
    select(F.id, F.name, F.claimed_at, F.claim_session, renewed_lately().label("renewed_lately"))
    .where(in_project(), leased(), _of_holder(features))
    .order_by(F.claimed_at, F.id)
)

_resume = (
    update(features)
    .where(this(), is_(Status.IN_PROGRESS), F.claimed_by == bindparam("holder"))
    .values({F.ended_token: F.claim_token, F.ended_by: literal_text(Kind.RESUME), **_LEASED})
    .returning(*features.c)
)

# `ended_token` is the last claim's: nobody has claimed the feature since.
_regain = (
    update(features)
    .where(this(), disconnected(), F.ended_token == bindparam("fresh"), files_are_free())
    .where(_count_mine.scalar_subquery() < bindparam("most"))
    .values(
        {
            F.status: literal(Status.IN_PROGRESS),
            F.attempts: F.attempts + case((F.ended_by == literal_text(ConnectionEnd.DISCONNECT), 1), else_=0),
            **_LEASED,
        }
    )
)

_renew = hot(update(features).where(this(), held()).values(_RENEWED).returning(*features.c))


def claim(
    tx: Transaction, holder: Holder, feature: int | None = None, *, category: str | None = None, resume: bool = False
) -> Claimed | Idle:
    """Claim `feature` or the next ready one (of `category`), or `resume` a claim of the agent name.

    Returns the claim with all that the agent needs, or the reason why there is nothing to claim.
    Raises NotFound, AlreadyClaimed, AlreadyHolding, AlreadyPassing, TooManyClaims, UnmetDependencies,
    WaitingForHuman, Stuck, Archived, NotReady, InvalidInput if a resume has no agent name, and NotApplied
    if others are claiming every ready feature.
    """
    row = claim_row(tx, holder, feature, category=category, resume=resume)
    if row is not None:
        return claimed(tx, holder, row)
    idle = why_idle(tx, category)
    if idle.counts.ready:  # uncommitted claims lock these rows
        raise NotApplied(
            "Other agents are claiming every ready feature at this moment. Nothing was changed.",
            next=[Step(None, purpose="in a moment")],
        )
    return idle


def claimed(tx: Transaction, holder: Holder, row: Row, *, already: bool = False) -> Claimed:
    """Return the answer to a claim: the token, the lease, and all that the agent needs."""
    lease = Lease(token=row["claim_token"], expires_at=row["lease_expires_at"], renewed=holder.session is not None)
    return Claimed(state="claimed", already_claimed=already, claim=lease, feature=work_of(tx, row))


def claim_again(tx: Transaction, holder: Holder, feature: int, token: str) -> Row | None:
    """Return the row of a claim that the caller already has, with its lease renewed, or None if it has ended."""
    return tx.first(_renew, feature=feature, token=token, session=holder.session, lease=holder.lease)


def regain(tx: Transaction, holder: Holder, feature: int, token: str) -> str | None:
    """Continue a claim that the end of its holder's connection released, and return its holder's name.

    Returns None if it is not such a claim, somebody has claimed the feature since or works on its files, or the holder
    has as many claims as it may. The connection of `holder`, whose call carries the token, renews the lease from now on.
    """
    name = last_holder(tx, feature)
    if name is None:
        return None
    rules = tx.project.settings
    most = rules.max_claims_per_connection if is_alias(name) else rules.max_claims
    parameters = {"session": holder.session, "lease": holder.lease, "counted_session": None, "most": most}
    if not tx.run(_regain, feature=feature, fresh=token, holder=name, **parameters):
        return None
    record(tx, name, Kind.RESUME, feature, Status.PENDING, Status.IN_PROGRESS)
    return name


def replay_claim(tx: Transaction, holder: Holder, claimed: Claimed) -> Claimed:
    """Return the claim of an earlier call, whose lease this connection renews from now on. Raises ClaimLost."""
    feature, token = claimed.feature.id, claimed.claim.token
    row = claim_again(tx, holder, feature, token)
    if row is None:
        refuse_lost(find(tx, feature))
    lease = claimed.claim.model_copy(update={"expires_at": row["lease_expires_at"]})
    return claimed.model_copy(update={"claim": lease})


def mark_in_progress(tx: Transaction, holder: Holder, feature: int, own: Row | None = None) -> Acknowledgement:
    """Claim `feature` and answer briefly, or answer with the row of the caller's `own` claim.

    Raises the refusals of `claim`.
    """
    row = claim_row(tx, holder, feature) if own is None else own
    assert row is not None, "a claim by id succeeds or raises"
    return Acknowledgement(
        id=feature,
        status=row["status"],
        already_claimed=own is not None,
        token=row["claim_token"],
        expires_at=row["lease_expires_at"],
    )


def claim_row(
    tx: Transaction, holder: Holder, feature: int | None = None, *, category: str | None = None, resume: bool = False
) -> Any:
    """Return the claimed row, or None if nothing is ready. Raises the refusals of `claim`."""
    if resume and (resumed := _resume_claim(tx, holder, feature)) is not None:
        return resumed
    parameters = claim_parameters(tx, holder)
    row = _claim_left(tx, holder, parameters) if resume and feature is None and category is None else None
    if row is not None:
        pass  # the claim goes on where the agent left off
    elif feature is not None:
        row = tx.first(_claim_this, feature=feature, **parameters)
    elif category is not None:
        row = tx.first(next_claim(tx.project.settings.order, by_category=True), category_=category, **parameters)
    else:
        row = tx.first(next_claim(tx.project.settings.order, by_category=False), **parameters)
    if row is None:
        _refuse(tx, holder, feature, parameters["most"])
        return None
    record(tx, holder.name, Kind.CLAIM, row["id"], Status.PENDING, Status.IN_PROGRESS)
    return row


def claim_parameters(tx: Transaction, holder: Holder) -> dict[str, Any]:
    """Return the parameters of a claim: the new token, the holder, and how many claims it may have."""
    return {
        "fresh": holder.fresh or new_token(),
        "holder": holder.name,
        "session": holder.session,
        "lease": holder.lease,
        "counted_session": None if holder.named else holder.session,
        "most": tx.project.settings.max_claims if holder.named else tx.project.settings.max_claims_per_connection,
    }


def _resume_claim(tx: Transaction, holder: Holder, feature: int | None) -> Any:
    if not holder.named:
        raise InvalidInput(
            "resume: the call needs an agent name, since the server has none.",
            next=[Step("feature_claim_and_get", {"resume": True}, needs=("agent",))],
            field="resume",
        )
    mine = [row["id"] for row in tx.all(_claims_of_holder, holder=holder.name, counted_session=None)]
    if not mine or (feature is not None and feature not in mine):
        return None
    chosen = feature if feature is not None else mine[0]
    row = tx.first(
        _resume,
        feature=chosen,
        fresh=holder.fresh or new_token(),
        holder=holder.name,
        session=holder.session,
        lease=holder.lease,
    )
    assert row is not None, "this transaction has read the holder's claims"
    record(tx, holder.name, Kind.RESUME, chosen, Status.IN_PROGRESS, Status.IN_PROGRESS)
    return row


def _claim_left(tx: Transaction, holder: Holder, parameters: dict[str, Any]) -> Any:
    """Claim the feature that the agent name had claimed last, if that claim ended without a call and nobody followed."""
    feature = last_claim_of(tx, holder.name)
    if feature is None or last_holder(tx, feature) != holder.name:
        return None
    return tx.first(_claim_left_behind, feature=feature, **parameters)


def _refuse(tx: Transaction, holder: Holder, feature: int | None, most: int) -> None:
    mine = tx.all(_claims_of_holder, holder=holder.name, counted_session=None if holder.named else holder.session)
    own = holder.named and feature is not None and any(row["id"] == feature for row in mine)
    if feature is not None and not own:
        row = find(tx, feature)
        if row["status"] != Status.PENDING or row["unmet_dependencies"] or len(mine) < most:
            refuse_claim(tx, row)
    if len(mine) < most and not own:
        return
    if not holder.named:
        raise TooManyClaims(
            f"This connection has {len(mine)} claims, and the limit is {most}.",
            next=[
                Step("feature_mark_passing", {"feature_id": mine[0]["id"]}, "to finish one"),
                Step("feature_clear_in_progress", {"feature_id": mine[0]["id"]}, "to release one"),
            ],
            held=[row["id"] for row in mine][:most],
        )
    held = next((row for row in mine if row["id"] == feature), mine[0])
    age = max(0, int(tx.now - held["claimed_at"]))
    fact = f"{holder.name} already claimed feature {held['id']} ({held['name'][:80]}) {age} s ago."
    resume = {"feature_id": held["id"], "resume": True, "agent": holder.name}
    if _of_another_session(holder, held):
        fact += " Another session works under this name."
        step = Step("feature_claim_and_get", needs=("agent",), purpose="under a name of your own")
    else:
        fact += " Finish it first."
        step = Step("feature_claim_and_get", resume, "to continue it with a new token")
    raise AlreadyHolding(fact, next=[step], id=held["id"], name=held["name"], age_seconds=age)


def _of_another_session(holder: Holder, held: Row) -> bool:
    """Return whether another connection that lives has the claim.

    Its process shows that. The connection of a process that cannot be seen lives if it has renewed the lease lately.
    """
    session: str | None = held["claim_session"]
    if session is None or session == holder.session:
        return False
    served = is_served(session)
    return bool(held["renewed_lately"]) if served is None else served
