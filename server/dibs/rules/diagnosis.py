"""Why a guard did not hold: read after the statement changed nothing, in the same transaction."""

from __future__ import annotations

from math import ceil
from typing import Any, NoReturn

from sqlalchemy import bindparam, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import FARTHEST_BACK_OFF, F, among, this
from dibs.rules.file_areas import holders_of
from dibs.rules.journal import last_detail
from dibs_schema.answers import iso
from dibs_schema.refusals import (
    AlreadyClaimed,
    AlreadyPassing,
    Archived,
    ClaimLost,
    NotClaimed,
    NotFound,
    NotReady,
    Stuck,
    TokenRequired,
    UnmetDependencies,
    WaitingForHuman,
)
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import dependencies, features

_row = hot(
    select(
        F.id,
        F.name,
        F.status,
        F.unmet_dependencies,
        F.not_before,
        F.claim_token,
        F.claimed_by,
        F.claimed_at,
        F.ended_token,
        F.ended_by,
        F.last_failure,
    ).where(this())
)

_holder = hot(select(F.claimed_by).where(this(), F.claim_token == bindparam("token")))

_unmet = hot(
    select(dependencies.c.dependency_id)
    .join(
        features,
        (F.project_id == dependencies.c.project_id) & (F.id == dependencies.c.dependency_id),
    )
    .where(
        dependencies.c.project_id == bindparam("project"),
        dependencies.c.feature_id == bindparam("feature"),
        ~among(F.status, SATISFIED),
    )
    .order_by(dependencies.c.dependency_id)
)


def find(tx: Transaction, feature: int) -> Row:
    """The feature's state. Raises NotFound."""
    row = tx.first(_row, feature=feature)
    if row is None:
        raise NotFound(
            f"There is no feature {feature} in project {tx.project.name!r}. feature_search finds features by text.",
            id=feature,
        )
    return row


def holder_of(tx: Transaction, feature: int, token: str | None) -> str | None:
    """Who holds the feature by that token, and so is the author of a move with it; None where nobody does."""
    holder: str | None = tx.value(_holder, feature=feature, token=token) if token is not None else None
    return holder


def unmet(tx: Transaction, feature: int) -> list[int]:
    """The ids of the dependencies that hold the feature back."""
    return [row["dependency_id"] for row in tx.all(_unmet, feature=feature)]


def refuse_unmet(tx: Transaction, feature: int) -> NoReturn:
    """Raise UnmetDependencies, naming what is missing."""
    missing = unmet(tx, feature)
    raise UnmetDependencies(
        f"Feature {feature} depends on features that are not passing: {_few(missing)}. "
        "They come first; feature_claim_and_get without an id gives the next ready feature.",
        id=feature,
        unmet=missing[:20],
    )


def refuse_claim(tx: Transaction, row: Row) -> NoReturn:
    """Raise why a feature that exists cannot be claimed."""
    feature = row["id"]
    if row["status"] == Status.IN_PROGRESS:
        raise AlreadyClaimed(
            f"Feature {feature} is claimed by another agent. "
            "Call feature_claim_and_get without an id for the next ready feature.",
            id=feature,
        )
    if row["status"] == Status.PASSING:
        raise AlreadyPassing(
            f"Feature {feature} is already passing. Call feature_claim_and_get without an id, "
            "or feature_mark_failing with a reason if it broke.",
            id=feature,
        )
    refuse_resting(row)
    if row["unmet_dependencies"]:
        refuse_unmet(tx, feature)
    _refuse_hindered(tx, feature)
    wait = ceil(row["not_before"] - tx.now)
    assert 0 <= wait <= FARTHEST_BACK_OFF, "every other reason was excluded"
    raise NotReady(
        f"Feature {feature} failed lately and backs off for {wait} s more. "
        "Call feature_claim_and_get without an id for another one.",
        id=feature,
        retry_after_seconds=wait,
    )


def _refuse_hindered(tx: Transaction, feature: int) -> None:
    """Raise where a live claim is on the feature's files."""
    holder = holders_of(tx, [feature]).get(feature)
    if holder is not None:
        raise NotReady(
            f"Feature {feature} may change the same files as feature {holder['id']}, which {holder['claimed_by']} holds. "
            "Call feature_claim_and_get without an id for another one.",
            id=feature,
            held_by=holder["id"],
            holder=holder["claimed_by"],
        )


def refuse_resting(row: Row) -> None:
    """Raise where the feature waits for a person or planner, or is off the board."""
    feature = row["id"]
    if row["status"] == Status.NEEDS_HUMAN:
        raise WaitingForHuman(
            f"Feature {feature} waits for a person's answer. "
            f"A planner gives it with feature_answer_human_input, a person with `dibs answer {feature}`.",
            id=feature,
        )
    if row["status"] == Status.STUCK:
        last = f" The last failure: {row['last_failure'][:200]}." if row["last_failure"] else ""
        raise Stuck(
            f"Feature {feature} is stuck: it failed, was skipped or was given up too often.{last} "
            f"A planner puts it back with feature_update feature_id={feature} retry=true.",
            id=feature,
        )
    if row["status"] == Status.ARCHIVED:
        raise Archived(
            f"Feature {feature} is archived. A planner brings it back with "
            f"feature_update feature_id={feature} archived=false.",
            id=feature,
        )


def repeated(tx: Transaction, feature: int, token: str | None, kind: Kind) -> dict[str, Any]:
    """What the event of this very move says, where that token made it before; else raises why it was not made."""
    row = find(tx, feature)
    if token is None or row["ended_token"] != token or row["ended_by"] != kind:
        refuse_move(tx, feature, token)
    return last_detail(tx, feature, kind)


def refuse_move(tx: Transaction, feature: int, token: str | None) -> NoReturn:
    """Raise why a move of a claim was not made."""
    row = find(tx, feature)
    if token is None:
        _refuse_without_token(row)
    if row["claim_token"] == token:
        refuse_unmet(tx, feature)  # the only other guard that a move of a live claim has
    refuse_lost(row)


def refuse_lost(row: Row) -> NoReturn:
    """Raise ClaimLost, saying who has the feature now and since when."""
    feature, holder = row["id"], row["claimed_by"]
    since = iso(row["claimed_at"]) if holder else None
    now = f"{holder} holds it since {since}" if holder else f"it is {row['status']} now"
    raise ClaimLost(
        f"That claim on feature {feature} has ended; {now}. Nothing was changed. "
        "Stop work on it and call feature_claim_and_get for the next one.",
        id=feature,
        status=row["status"],
        holder=holder,
        since=since,
    )


def _refuse_without_token(row: Row) -> NoReturn:
    feature = row["id"]
    if row["status"] == Status.IN_PROGRESS:
        holder, since = row["claimed_by"], iso(row["claimed_at"])
        raise TokenRequired(
            f"{holder} holds feature {feature} since {since}, and this call does not say by which claim it comes. If that "
            "is you, send claim_token from the claim's answer; if it is lost, feature_claim_and_get with your agent name "
            "and resume=true gives a new one. If not, leave it: feature_claim_and_get gives another.",
            id=feature,
            holder=holder,
            since=since,
        )
    if row["status"] == Status.PASSING:
        raise AlreadyPassing(
            f"Feature {feature} is already passing; nobody holds a claim on it. feature_claim_and_get gives the next one.",
            id=feature,
        )
    refuse_resting(row)
    raise NotClaimed(
        f"Feature {feature} is not claimed. Claim it first: feature_claim_and_get with feature_id={feature}.",
        id=feature,
    )


def _few(ids: list[int], most: int = 10) -> str:
    shown = ", ".join(map(str, ids[:most]))
    return f"{shown} and {len(ids) - most} more" if len(ids) > most else shown
