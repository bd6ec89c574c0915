"""Leases: renew them while their holders live, release claims at the holder's end, and reap expired leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Executable, bindparam, func, or_, select, update

from dibs.database import Upkeep
from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.queries.handover import new_notes
from dibs.rules.conditions import (
    ATTEMPTS_USED_UP,
    FAILURES_USED_UP,
    F,
    disconnecting,
    ending,
    expired,
    held,
    in_project,
    is_,
    leased,
    of_another_clock,
    stuck_if,
    this,
)
from dibs.rules.dependencies import MAY_END_FREELY, blockers
from dibs.rules.diagnosis import refuse_transition
from dibs.rules.events import record, record_all
from dibs.rules.truncate import truncate
from dibs_schema.answers import Acknowledgement
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features, projects

RENEWED: dict[Any, Any] = {
    F.lease_clock: bindparam("clock"),
    F.lease_ends: bindparam("reading") + F.lease_seconds,
    F.lease_expires_at: bindparam("now") + F.lease_seconds,
}
"""The columns of a renewed lease, by the transaction's clock."""

_TOKENS: BindParameter[Sequence[str]] = bindparam("tokens", expanding=True)
# Rows are locked in the order of their ids, so that renewing and reaping never deadlock.
_of_tokens = (
    select(F.id)
    .where(in_project(), leased(), F.claim_token.in_(_TOKENS))
    .order_by(F.id)
    .with_for_update(key_share=True)
)
_renew = (
    update(features)
    .where(in_project(), leased(), F.id.in_(_of_tokens), F.claim_token.in_(_TOKENS))
    .values(RENEWED)
    .returning(F.claim_token)
)

_heartbeat = hot(
    update(features)
    .where(this(), held())
    .values({**RENEWED, F.last_activity_at: bindparam("now")})
    .returning(F.lease_expires_at, F.claimed_by, F.unmet_dependencies)
)

_of_session = in_project() & leased() & (F.claim_session == bindparam("session"))
_all_claims = in_project() & leased()


def _release_where(condition: ColumnElement[bool], values: dict[Any, Any]) -> tuple[Executable, Executable]:
    """Return the query for the holders of the claims that meet a condition, and the statement that releases them."""
    holders = select(F.id, F.claimed_by).where(condition)
    release = update(features).where(condition).values(values).returning(F.id, F.status, F.attempts)
    return holders, release


_RELEASE_SESSION = _release_where(_of_session, disconnecting())
_RELEASE_ALL = _release_where(_all_claims, {F.status: stuck_if(ATTEMPTS_USED_UP), **ending(Kind.RELEASE)})

_has_expired = in_project() & leased() & expired()
_expired = select(F.id, F.claimed_by).where(_has_expired).order_by(F.id).with_for_update(skip_locked=True)
_count_expired = hot(select(func.count()).where(_has_expired))

# Exclusive transactions lock the project row first, so the holder of this lock may trust its earlier reads of claims.
_lock_project = (
    select(projects.c.id)
    .where(projects.c.id == bindparam("project"), projects.c.moved_to.is_(None))
    .with_for_update(key_share=True)
)

NOTE_ROOM_IF_BLOCKED = 18
"""Bytes of the newest note in an answer that also names unmet dependencies."""
EXPIRED = "the lease expired: the holder ended or lost its connection without releasing the claim"

_expire = (
    update(features)
    .where(in_project(), F.id.in_(bindparam("ids", expanding=True)), is_(Status.IN_PROGRESS), expired())
    .values(
        {
            F.status: stuck_if(or_(FAILURES_USED_UP, ATTEMPTS_USED_UP)),
            F.failures: F.failures + 1,
            F.last_failure: EXPIRED,
            **ending(Kind.EXPIRE),
        }
    )
    .returning(F.id, F.status)
)

# The wall clock measures a lease of another boot, and somebody may have set it back since the lease began.
# Such a lease never ends later than one lease from now.
_is_too_far = in_project() & leased() & of_another_clock() & (F.lease_expires_at > bindparam("now") + F.lease_seconds)
_clamp = update(features).where(_is_too_far).values({F.lease_expires_at: bindparam("now") + F.lease_seconds})
_count_too_far = hot(select(func.count()).where(_is_too_far))


def heartbeat(tx: Transaction, feature: int, token: str | None, note: str | None = None) -> Acknowledgement:
    """Renew the lease of a claim, store `note` for the next agent, and report what has changed for the holder.

    Raises ClaimLost, TokenRequired, NotClaimed, or the refusal of the status that the feature has now.
    """
    notes = new_notes(tx, feature, token) if token is not None else {}
    row = tx.first(_heartbeat, feature=feature, token=token) if token is not None else None
    if row is None:
        refuse_transition(tx, feature, token)
    if note is not None:
        record(tx, row["claimed_by"], Kind.HEARTBEAT, feature, Status.IN_PROGRESS, Status.IN_PROGRESS, note=note)
    return Acknowledgement(
        id=feature,
        status=Status.IN_PROGRESS.value,
        expires_at=row["lease_expires_at"],
        noted=note is not None,
        **_news(tx, feature, notes, row["unmet_dependencies"]),
    )


def touch(tx: Transaction, feature: int, token: str) -> dict[str, Any]:
    """Renew the lease of a claim whose holder has made a call about it, if the token is valid.

    Returns the fields of an acknowledgement that report what has changed for the holder.
    """
    notes = new_notes(tx, feature, token)
    row = tx.first(_heartbeat, feature=feature, token=token)
    return {} if row is None else _news(tx, feature, notes, row["unmet_dependencies"])


def _news(tx: Transaction, feature: int, notes: dict[str, Any], unmet: int) -> dict[str, Any]:
    if not unmet:
        return notes
    note = truncate(notes["note"], NOTE_ROOM_IF_BLOCKED)
    return {**notes, "note": note, **blockers(tx, feature, unmet), "hint": MAY_END_FREELY}


def renew(tx: Transaction, tokens: Sequence[str]) -> set[str]:
    """Renew the leases of claims whose holders live, and return the tokens that are still valid."""
    return {row["claim_token"] for row in tx.all(_renew, tokens=list(tokens))}


def release_session(tx: Transaction, session: str, *, counts: bool = False) -> list[int]:
    """Release every claim of a connection that has ended, and return the features' ids.

    Each counts as an attempt if `counts`: the connection's agent was started for this claim, and has ended too.
    """
    return _release(tx, _RELEASE_SESSION, "the connection ended", session=session, counts=counts)


def release_all(tx: Transaction, reason: str) -> list[int]:
    """Release every claim, after all holders have ended, and return the features' ids."""
    return _release(tx, _RELEASE_ALL, reason)


def _release(tx: Transaction, statements: tuple[Executable, Executable], reason: str, **parameters: Any) -> list[int]:
    holders, release = statements
    claims = tx.all(holders, **parameters)
    if not claims:
        return []
    released = {row["id"]: row for row in tx.all(release, max_attempts=tx.project.settings.max_attempts, **parameters)}
    for row in claims:
        now = released[row["id"]]
        detail = {"reason": reason, "status": now["status"], "attempts": now["attempts"]}
        record(tx, row["claimed_by"], Kind.RELEASE, row["id"], Status.IN_PROGRESS, now["status"], **detail)
    return list(released)


def any_expired(tx: Transaction) -> bool:
    """Return whether a lease has expired or ends too far ahead. Reads one small index."""
    return bool(tx.value(_count_expired) or tx.value(_count_too_far))


def reap(tx: Transaction) -> list[int]:
    """End every claim whose lease has expired, and return the features' ids. Records each expiry once."""
    if not any_expired(tx) or tx.first(_lock_project) is None:
        return []
    tx.run(_clamp)
    holders = {row["id"]: row["claimed_by"] for row in tx.all(_expired)}
    if not holders:
        return []
    limits = {"max_failures": tx.project.settings.max_failures, "max_attempts": tx.project.settings.max_attempts}
    reaped = tx.all(_expire, ids=list(holders), **limits)
    events = [
        {
            "feature_id": row["id"],
            "from_status": Status.IN_PROGRESS.value,
            "to_status": row["status"],
            "detail": {"reason": EXPIRED, "holder": holders[row["id"]]},
        }
        for row in reaped
    ]
    record_all(tx, "dibs", Kind.EXPIRE, events)
    return [row["id"] for row in reaped]


REAPING = Upkeep(is_due=any_expired, run=reap)
"""Reaping before a claim; it needs the write lock only if a lease has expired."""
