"""Claim a feature: exactly one caller receives it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypedDict, Unpack

from sqlalchemy import Update, bindparam, select, update

from dibs.database import SnapshotNeeded
from dibs.database.compiled import hot
from dibs.database.engine import NotApplied
from dibs.database.transaction import Row, Transaction
from dibs.queries.handover import work_of
from dibs.queries.queue_state import why_idle
from dibs.rules.claimable import claimable, queue
from dibs.rules.claimant import Holder
from dibs.rules.conditions import F, among, in_project, literal, ready, this
from dibs.rules.dependencies import MAY_END_FREELY, blockers
from dibs.rules.diagnosis import find, refuse_claim
from dibs.rules.events import last_claim_of, last_holder, record
from dibs.rules.file_areas import files_are_free
from dibs.verbs.claim_values import LEASED, claim_parameters, count_mine
from dibs.verbs.continue_claim import claims_of_holder, refuse_second_claim, resume_claim
from dibs_schema.answers import Acknowledgement, Claimed, Idle, Lease
from dibs_schema.next_step import Step
from dibs_schema.refusals import TooManyClaims
from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import features

_claim = hot(
    update(features)
    .where(ready(), count_mine.scalar_subquery() < bindparam("most"))
    .values({F.status: literal(Status.IN_PROGRESS), F.attempts: F.attempts + 1, F.not_before: None, **LEASED})
    .returning(*features.c)
)
_claim_this = _claim.where(this(), files_are_free())

_unlocked = select(F.id).where(this()).with_for_update(skip_locked=True)
_claim_candidate = _claim.where(in_project(), F.id == _unlocked.scalar_subquery(), files_are_free())

_claim_left_behind = _claim_this.where(among(F.ended_by, (*ConnectionEnd, Kind.EXPIRE)))


@cache
def next_claim(claim_order: str, *, by_category: bool, autocommit: bool = False) -> Update:
    """Return the claim of the first feature of the queue, or of its first feature in `category_`.

    If a live claim may change its files, the statement claims nothing. Concurrent claims in `autocommit` do not see
    each other. Therefore they claim nothing if the first feature has paths.
    """
    first = queue(claim_order, by_category=by_category).limit(1).with_for_update(skip_locked=True)
    statement = _claim.where(in_project(), F.id == first.scalar_subquery())
    return statement.where(F.paths.is_(None) if autocommit else files_are_free())


CANDIDATES = 32
MOST_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """The reads of a claim of the next feature, on a snapshot: the first claimable features, or why there is none.

    `number` counts the looks of one call: the candidates of earlier ones were all claimed by others in the meantime.
    """

    number: int
    candidates: list[int]
    idle: Idle | None

    @classmethod
    def take(cls, tx: Transaction, category: str | None, number: int) -> Look:
        """Look at the queue (of `category`)."""
        candidates = claimable(tx, category, CANDIDATES)
        return cls(number, candidates, None if candidates else why_idle(tx, category))


class ClaimOptions(TypedDict, total=False):
    """Which feature to claim, if not by id: the next in a `category`, or one to `resume`, with `force` from others."""

    category: str | None
    resume: bool
    force: bool


def claim(
    tx: Transaction, holder: Holder, feature: int | None = None, **options: Unpack[ClaimOptions]
) -> Claimed | Idle:
    """Claim `feature` or the next ready one (of `category`), or `resume` a claim of the agent name.

    `force` also resumes the claim of a live connection.

    Returns the claim with all that the agent needs, or the reason why there is nothing to claim.
    Raises NotFound, AlreadyClaimed, AlreadyHolding, AlreadyPassing, TooManyClaims, UnmetDependencies,
    WaitingForHuman, Stuck, Archived, NotReady, InvalidInput if a resume has no lasting name, and NotApplied
    if others are claiming every ready feature.
    """
    row = claim_row(tx, holder, feature, **options)
    if row is not None:
        return claimed(tx, holder, row, already=holder.fresh not in (None, row["claim_token"]))
    look = _look_of(tx)
    idle = look.idle if look is not None and look.idle is not None else why_idle(tx, options.get("category"))
    if idle.counts.ready:  # uncommitted claims lock these rows
        raise NotApplied(
            "Other agents are claiming every ready feature at this moment. Nothing was changed.",
            next=[Step(None, purpose="in a moment")],
        )
    return idle


def claimed(tx: Transaction, holder: Holder, row: Row, *, already: bool = False) -> Claimed:
    """Return the answer to a claim: the token, the lease, and all that the agent needs."""
    lease = Lease(token=row["claim_token"], expires_at=row["lease_expires_at"], renewed=holder.session is not None)
    work = work_of(tx, row)
    rest = Step("feature_get_by_id", {"feature_id": work.id, "cursor": work.next_cursor}, "for the rest of its text")
    return Claimed(
        state="claimed", already_claimed=already, claim=lease, feature=work, next=(rest,) if work.next_cursor else ()
    )


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
        hint=MAY_END_FREELY if row["unmet_dependencies"] else None,
        **blockers(tx, feature, row["unmet_dependencies"]),
    )


def claim_row(
    tx: Transaction,
    holder: Holder,
    feature: int | None = None,
    *,
    category: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> Any:
    """Return the claimed row, or None if nothing is ready. Raises the refusals of `claim`, and SnapshotNeeded."""
    if resume and (resumed := resume_claim(tx, holder, feature, force=force)) is not None:
        return resumed
    parameters = claim_parameters(tx, holder)
    row = _claim_left(tx, holder, parameters) if resume and feature is None and category is None else None
    if row is None:
        by_id = {"feature": feature, **parameters}
        row = _claim_next(tx, category, parameters) if feature is None else tx.first(_claim_this, **by_id)
    if row is None:
        _refuse(tx, holder, feature, parameters["most"])
        _look_again(tx, category)
        return None
    client = holder.client_beside(holder.name)
    record(tx, holder.name, Kind.CLAIM, row["id"], Status.PENDING, Status.IN_PROGRESS, client=client)
    return row


def _claim_next(tx: Transaction, category: str | None, parameters: dict[str, Any]) -> Any:
    """Claim the first feature of the queue, or the first candidate if this call has looked for candidates."""
    look = _look_of(tx)
    if look is None:
        within = {} if category is None else {"category_": category}
        statement = next_claim(tx.project.settings.order, by_category=category is not None)
        return tx.first(statement, **within, **parameters)
    row = _claim_first(tx, look.candidates, parameters)
    if row is None and look.candidates and look.number == MOST_LOOKS:
        row = _claim_first(tx, claimable(tx, category, CANDIDATES), parameters)
    return row


def _claim_first(tx: Transaction, candidates: list[int], parameters: dict[str, Any]) -> Any:
    claims = (tx.first(_claim_candidate, feature=feature, **parameters) for feature in candidates)
    return next((row for row in claims if row is not None), None)


def _look_of(tx: Transaction) -> Look | None:
    return tx.snapshot if isinstance(tx.snapshot, Look) else None


def _look_again(tx: Transaction, category: str | None) -> None:
    """Raise SnapshotNeeded, unless a look has found nothing to claim, or there were enough looks."""
    look = _look_of(tx)
    number = 0 if look is None else look.number
    if number < MOST_LOOKS and (look is None or look.candidates):
        raise SnapshotNeeded(partial(Look.take, category=category, number=number + 1))


def _claim_left(tx: Transaction, holder: Holder, parameters: dict[str, Any]) -> Any:
    """Claim the feature that the agent name claimed last, if that claim ended without a call and no other followed."""
    feature = last_claim_of(tx, holder.name)
    if feature is None or last_holder(tx, feature) != holder.name:
        return None
    return tx.first(_claim_left_behind, feature=feature, **parameters)


def _refuse(tx: Transaction, holder: Holder, feature: int | None, most: int) -> None:
    mine = tx.all(claims_of_holder, holder=holder.name, counted_session=None if holder.named else holder.session)
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
    refuse_second_claim(tx, holder, next((row for row in mine if row["id"] == feature), mine[0]))
