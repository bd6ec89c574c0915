"""Hand a claim over to an agent, and adopt it there: the server that was started with its token serves it."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy import bindparam, select, update

from dibs.database.compiled import hot
from dibs.database.project_row import called
from dibs.database.transaction import Row, Transaction
from dibs.rules.claimant import Holder, new_token
from dibs.rules.conditions import F, held, in_project, leased, literal_text, renewed_lately, this
from dibs.rules.diagnosis import find, holder_of, refuse_lost
from dibs.rules.events import record
from dibs.verbs.claim_values import LEASED
from dibs.verbs.continue_claim import is_of_another_session, regain
from dibs.verbs.lease import RENEWED
from dibs_schema.answers import Lease
from dibs_schema.next_step import Step
from dibs_schema.refusals import ClaimLost, Forbidden
from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import features

_live = hot(
    select(F.id, F.name, F.category, F.claimed_by, F.claim_session, renewed_lately().label("renewed_lately")).where(
        in_project(), leased(), F.claim_token == bindparam("token")
    )
)
_ended = select(F.id).where(in_project(), F.ended_token == bindparam("token"))

_serve = (
    update(features)
    .where(this(), held(), F.claim_session.is_(None) | (F.claim_session == bindparam("replaced")))
    .values({F.claim_session: bindparam("session"), F.lease_seconds: bindparam("lease")})
)
_touch = hot(
    update(features)
    .where(this(), held())
    .values({**RENEWED, F.last_activity_at: bindparam("now")})
    .returning(*features.c)
)

_hand_over = (
    update(features)
    .where(this(), held())
    .values({F.ended_token: F.claim_token, F.ended_by: literal_text(Kind.RESUME), **LEASED})
    .returning(*features.c)
)

ENDS_BY_HOLDER = {
    Kind.PASS: "it passed",
    Kind.FAIL: "it failed",
    Kind.SKIP: "it was skipped",
    Kind.RELEASE: "it was released",
    Kind.ASK: "a person was asked about it",
}
"""The ends of a claim that its holder makes, as a refusal says them."""


def hand_over(tx: Transaction, feature: int, token: str, lease: float) -> Lease:
    """Return a claim's new token and its lease of `lease` seconds, which no connection renews. Raises ClaimLost.

    The old token is lost, and with it the connection that made the claim neither renews nor releases it.
    """
    name, parameters = holder_of(tx, feature, token), {"fresh": new_token(), "session": None, "lease": lease}
    row = tx.first(_hand_over, feature=feature, token=token, holder=name, **parameters) if name is not None else None
    if name is None or row is None:
        refuse_lost(find(tx, feature))
    record(tx, name, Kind.RESUME, feature, Status.IN_PROGRESS, Status.IN_PROGRESS)
    return Lease(token=row["claim_token"], expires_at=row["lease_expires_at"], renewed=False)


def find_live(tx: Transaction, token: str) -> Row | None:
    """Return the feature of a live claim with that token, or None."""
    return tx.first(_live, token=token)


def find_ended(tx: Transaction, token: str, feature: int | None = None) -> Row | None:
    """Return the columns that a diagnosis needs, for the feature whose last ended claim had that token, or None.

    `feature` is its id, if that is known; else every feature of the project is read.
    """
    known: int | None = tx.value(_ended, token=token) if feature is None else feature
    row = None if known is None else find(tx, known)
    return row if row is not None and row["ended_token"] == token else None


def can_be_regained(ended: Row) -> bool:
    """Return whether nobody has claimed the feature since the end of a connection released its claim."""
    return ended["status"] == Status.PENDING and ended["ended_by"] in tuple(ConnectionEnd)


def adopt(tx: Transaction, holder: Holder, token: str, feature: int | None = None) -> Row | None:
    """Let the connection of `holder` renew and release the claim with that token, and return its feature.

    A live connection keeps the claim: the connection that made it, or another server with the same token. A claim that
    was released by the end of its connection is regained. Returns None if the claim has ended. `feature` is its id, if
    known.
    """
    live = find_live(tx, token)
    if live is None:
        ended = find_ended(tx, token, feature)
        if ended is None or regain(tx, holder, ended["id"], token) is None:
            return None
        return find_live(tx, token)
    if not is_of_another_session(holder, live):
        replaced, session = live["claim_session"], holder.session
        tx.run(_serve, feature=live["id"], token=token, replaced=replaced, session=session, lease=holder.lease)
    return live


def touch(tx: Transaction, feature: int, token: str) -> Row:
    """Return the row of a live claim whose holder has called, with its lease renewed."""
    row = tx.first(_touch, feature=feature, token=token)
    assert row is not None, "this transaction has found the claim"
    return row


def refuse_other_claim(feature: int, name: str) -> NoReturn:
    """Raise Forbidden: the server was started for a claim of `feature`, and the call asks for another."""
    raise Forbidden(
        f"This server was started for feature {feature} ({name[:80]}) alone. Leave the others to other agents.",
        next=[Step("feature_claim_and_get", {"feature_id": feature}, "to read it")],
        id=feature,
    )


def refuse_ended_claim(tx: Transaction, feature: int | None, token: str) -> NoReturn:
    """Raise why the claim for which the server was started has ended: Forbidden after its outcome, else ClaimLost.

    `feature` is its feature, if that is known although others have claimed it since.
    """
    row = find(tx, feature) if feature is not None else find_ended(tx, token)
    if row is None:
        raise ClaimLost(
            f"This server was started for a claim that the {called(tx.project.name)} does not have: others have claimed its "
            "feature since, or the token belongs to another backlog. Stop, and tell whoever started you.",
        )
    claim = f"This server was started for feature {row['id']}, and its claim"
    if row["ended_token"] == token and row["ended_by"] in ENDS_BY_HOLDER:
        outcome = ENDS_BY_HOLDER[Kind(row["ended_by"])]
        raise Forbidden(f"{claim} has ended: {outcome}. Your work is done: stop.", id=row["id"], status=row["status"])
    refuse_lost(row, claim)
