"""Continue a claim: on the connection that has it, under its agent name, or with its token after a connection's end."""

from __future__ import annotations

from math import ceil
from typing import Any, NoReturn

from sqlalchemy import bindparam, case, select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.claimant import Holder, is_served, new_token
from dibs.rules.conditions import (
    F,
    disconnected,
    held,
    in_project,
    is_,
    leased,
    literal,
    literal_text,
    renewed_lately,
    this,
)
from dibs.rules.diagnosis import find, refuse_lost
from dibs.rules.events import last_holder, record
from dibs.rules.file_areas import files_are_free
from dibs.rules.holder_names import is_of_connection
from dibs.verbs.claim_values import LEASED, RENEWED, count_mine, of_holder
from dibs_schema.answers import Claimed, Lease
from dibs_schema.next_step import Step
from dibs_schema.refusals import AlreadyHolding, InvalidInput
from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import features

claims_of_holder = hot(
    select(
        *(F.id, F.name, F.claimed_at, F.claim_token, F.claim_session, F.lease_seconds),
        renewed_lately().label("renewed_lately"),
    )
    .where(in_project(), leased(), of_holder(features))
    .order_by(F.claimed_at, F.id)
)

_resume = (
    update(features)
    .where(this(), is_(Status.IN_PROGRESS), F.claimed_by == bindparam("holder"))
    .values({F.ended_token: F.claim_token, F.ended_by: literal_text(Kind.RESUME), **LEASED})
    .returning(*features.c)
)

# `ended_token` is the last claim's: nobody has claimed the feature since.
_regain = (
    update(features)
    .where(this(), disconnected(), F.ended_token == bindparam("fresh"))
    .values(
        {
            F.status: literal(Status.IN_PROGRESS),
            F.attempts: F.attempts + case((F.ended_by == literal_text(ConnectionEnd.DISCONNECT), 1), else_=0),
            **LEASED,
            F.last_activity_at: F.updated_at,  # so that the next heartbeat reports the notes since then
        }
    )
)
_regain_and_keep = _regain.where(files_are_free(), count_mine.scalar_subquery() < bindparam("most"))

_renew = hot(update(features).where(this(), held()).values(RENEWED).returning(*features.c))


def claim_again(tx: Transaction, holder: Holder, feature: int, token: str) -> Row | None:
    """Return the row of a claim that the caller already has, with its lease renewed, or None if it has ended."""
    return tx.first(_renew, feature=feature, token=token, session=holder.session, lease=holder.lease)


def regain(tx: Transaction, holder: Holder, feature: int, token: str, *, keep: bool = True) -> str | None:
    """Continue a claim that the end of its holder's connection released, and return its holder's name.

    Returns None if it is not such a claim, or somebody has claimed the feature since. To `keep` it, nobody may work on
    its files, and the holder must be allowed another claim; the connection of `holder`, whose call carries the token,
    renews the lease from now on.
    """
    name = last_holder(tx, feature)
    if name is None:
        return None
    rules = tx.project.settings
    most = rules.max_claims_per_connection if is_of_connection(name) else rules.max_claims
    parameters = {"fresh": token, "holder": name, "session": holder.session, "lease": holder.lease}
    if keep:
        regained = tx.run(_regain_and_keep, feature=feature, counted_session=None, most=most, **parameters)
    else:
        regained = tx.run(_regain, feature=feature, **parameters)
    if not regained:
        return None
    client = holder.client_beside(name)
    record(tx, name, Kind.RESUME, feature, Status.PENDING, Status.IN_PROGRESS, client=client)
    return name


def replay_claim(tx: Transaction, holder: Holder, claimed: Claimed) -> Claimed:
    """Return the claim of an earlier call, whose lease this connection renews from now on. Raises ClaimLost."""
    feature, token = claimed.feature.id, claimed.claim.token
    row = claim_again(tx, holder, feature, token)
    if row is None:
        refuse_lost(find(tx, feature))
    lease = Lease(token=token, expires_at=row["lease_expires_at"], renewed=claimed.claim.renewed)
    return claimed.model_copy(update={"claim": lease})


def resume_claim(tx: Transaction, holder: Holder, feature: int | None, *, force: bool = False) -> Any:
    """Take over the holder's claim (of `feature`) with a new token, and return its row; None if it has none.

    Without an agent name, a claim of this very connection keeps its token: subagents may share the connection.

    Raises AlreadyHolding if another live connection has the claim, unless `force`, or if it is ambiguous which of this
    connection's claims is meant; InvalidInput if the holder's name does not outlive a connection.
    """
    if not holder.lasts:
        raise InvalidInput(
            "resume: the call needs an agent name, since the server has none.",
            next=[Step("feature_claim_and_get", {"resume": True}, needs=("agent",))],
            field="resume",
        )
    mine = tx.all(claims_of_holder, holder=holder.name, counted_session=None)
    asked = [row for row in mine if feature in (None, row["id"])]
    if not holder.named:
        here = [row for row in asked if row["claim_session"] == holder.session]
        asked = [row for row in asked if row not in here]
        if here and not asked:
            return _continue_here(tx, holder, here)
    if not asked:
        return None
    free = (row["id"] for row in asked if force or not is_of_another_session(holder, row))
    chosen = next(free, None)
    if chosen is None:
        refuse_second_claim(tx, holder, asked[0])
    row = tx.first(
        _resume,
        feature=chosen,
        fresh=holder.fresh or new_token(),
        holder=holder.name,
        session=holder.session,
        lease=holder.lease,
    )
    assert row is not None, "this transaction has read the holder's claims"
    client = holder.client_beside(holder.name)
    record(tx, holder.name, Kind.RESUME, chosen, Status.IN_PROGRESS, Status.IN_PROGRESS, client=client)
    return row


def _continue_here(tx: Transaction, holder: Holder, here: list[Row]) -> Row | None:
    """Return the row of this connection's only claim, with its lease renewed. Raises AlreadyHolding for several."""
    first = here[0]
    if len(here) == 1:
        return claim_again(tx, holder, first["id"], first["claim_token"])
    named = ", ".join(f"{row['id']} ({row['name'][:40]})" for row in here[:9])
    raise AlreadyHolding(
        f"This connection has {len(here)} claims: {named}.",
        next=[Step("feature_claim_and_get", {"resume": True}, "for yours", needs=("feature_id",))],
        id=first["id"],
        name=first["name"],
        age_seconds=max(0, int(tx.now - first["claimed_at"])),
    )


def refuse_second_claim(tx: Transaction, holder: Holder, held: Row) -> NoReturn:
    """Raise AlreadyHolding with the agent name's present claim, and the next steps."""
    age = max(0, int(tx.now - held["claimed_at"]))
    fact = f"{holder.name} already claimed feature {held['id']} ({held['name'][:80]}) {age} s ago."
    resume = {"feature_id": held["id"], "resume": True, "agent": holder.name}
    if is_of_another_session(holder, held):
        fact += " Another session works under this name."
        steps = [  # not with force, which steals
            Step("feature_claim_and_get", needs=("agent",), purpose="under a name of your own"),
            Step(None, purpose=f"in {ceil(held['lease_seconds'] / 2)} s if that session has ended"),
        ]
    else:
        fact += " Finish it first."
        steps = [Step("feature_claim_and_get", resume, "to continue it with a new token")]
    raise AlreadyHolding(fact, next=steps, id=held["id"], name=held["name"], age_seconds=age)


def is_of_another_session(holder: Holder, held: Row) -> bool:
    """Return whether another live connection has the claim.

    It is live if it has renewed the lease lately and its process, if visible, has not ended.
    """
    session: str | None = held["claim_session"]
    if session is None or session == holder.session:
        return False
    return bool(held["renewed_lately"]) and is_served(session) is not False
