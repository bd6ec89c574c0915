"""The values that the guarded updates of a claim set, and the claims that they count."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, bindparam, func, select

from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder, new_token
from dibs.rules.conditions import F, in_project, is_
from dibs_schema.status import Status
from dibs_schema.tables import features

_mine = features.alias("mine")


def of_holder(table: FromClause) -> ColumnElement[bool]:
    """SQL condition: claimed by `holder`, through the connection `counted_session` unless that is NULL."""
    session: BindParameter[str] = bindparam("counted_session")
    return (table.c.claimed_by == bindparam("holder")) & ((table.c.claim_session == session) | session.is_(None))


count_mine = select(func.count()).where(in_project(_mine), is_(Status.IN_PROGRESS, _mine), of_holder(_mine))

RENEWED: dict[Any, Any] = {
    F.claim_session: bindparam("session"),
    F.lease_clock: bindparam("clock"),
    F.lease_ends: bindparam("reading") + bindparam("lease"),
    F.lease_seconds: bindparam("lease"),
    F.lease_expires_at: bindparam("now") + bindparam("lease"),
    F.last_activity_at: bindparam("now"),
    F.updated_at: bindparam("now"),
}
LEASED: dict[Any, Any] = {
    F.claim_token: bindparam("fresh"),
    F.claimed_by: bindparam("holder"),
    F.claimed_at: bindparam("now"),
    **RENEWED,
}


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
