"""Explain why a guard did not hold, by reads in the same transaction as the statement that changed nothing."""

from __future__ import annotations

from math import ceil
from typing import Any, NoReturn

from sqlalchemy import bindparam, select

from dibs.database.compiled import hot
from dibs.database.project_row import called
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import FARTHEST_BACK_OFF, F, this
from dibs.rules.dependencies import unmet_of
from dibs.rules.events import last_detail
from dibs.rules.file_areas import holders_of
from dibs.rules.questions import open_questions_of, words
from dibs.rules.truncate import truncate
from dibs_schema.answers import iso
from dibs_schema.next_step import FIND_FEATURE, NEXT_FEATURE, Step
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
from dibs_schema.roles import Role
from dibs_schema.status import ConnectionEnd, Kind, Status

SHOWN_QUESTION = 200
"""Bytes of the words of a question."""

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


def find(tx: Transaction, feature: int) -> Row:
    """Return the columns of the feature that a diagnosis needs. Raises NotFound."""
    row = tx.first(_row, feature=feature)
    if row is None:
        raise NotFound(
            f"There is no feature {feature} in the {called(tx.project.name)}.", next=[FIND_FEATURE], id=feature
        )
    return row


def holder_of(tx: Transaction, feature: int, token: str | None) -> str | None:
    """Return the holder of the claim with that token, or None."""
    holder: str | None = tx.value(_holder, feature=feature, token=token) if token is not None else None
    return holder


def refuse_unmet(tx: Transaction, feature: int, *, claimed: bool = False) -> NoReturn:
    """Raise UnmetDependencies with the unmet dependencies, or WaitingForHuman if only a question is open.

    If the caller has `claimed` the feature, it releases it first.
    """
    missing = unmet_of(tx, feature)
    if not missing:
        _refuse_for_question(tx, feature, claimed=claimed)
    give_back = Step("feature_clear_in_progress", {"feature_id": feature}, "to release it until they pass")
    shown = ", ".join(map(str, missing[:10])) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
    raise UnmetDependencies(
        f"Feature {feature} depends on features that are not passing: {shown}.",
        next=[give_back if claimed else NEXT_FEATURE],
        id=feature,
        unmet=missing[:20],
    )


def _refuse_for_question(tx: Transaction, feature: int, *, claimed: bool) -> NoReturn:
    question = next(iter(open_questions_of(tx, feature)), None)
    if question is None:  # what the guard of the call counted has ended since, or the counter is wrong
        raise UnmetDependencies(
            f"Feature {feature} waited for a feature or an answer until a moment ago. If it always does so, a person "
            "runs `dibs doctor`.",
            next=[Step(None)],
            id=feature,
            unmet=[],
        )
    give_back = Step("feature_clear_in_progress", {"feature_id": feature}, "to release it until then")
    number, asked = question["id"], truncate(words(question["questions"]), SHOWN_QUESTION)
    raise WaitingForHuman(
        f"Feature {feature} waits for the answer to question {number}: {asked!r}. "
        f"A person answers with `dibs answer --question {number}`.",
        next=[
            give_back if claimed else NEXT_FEATURE,
            Step("feature_answer_human_input", {"question_id": number}, "to answer", ("answers",), Role.PLANNER),
        ],
        id=feature,
        question_id=number,
    )


def refuse_claim(tx: Transaction, row: Row) -> NoReturn:
    """Raise the reason why an existing feature cannot be claimed."""
    feature = row["id"]
    if row["status"] == Status.IN_PROGRESS:
        raise AlreadyClaimed(f"{_held_since(tx, row)}.", next=[NEXT_FEATURE], id=feature, **_claimed_by(row))
    if row["status"] == Status.PASSING:
        raise AlreadyPassing(
            f"Feature {feature} is already passing.",
            next=[
                NEXT_FEATURE,
                Step("feature_mark_failing", {"feature_id": feature}, "if it is broken", needs=("reason",)),
            ],
            id=feature,
        )
    refuse_resting(row)
    if row["unmet_dependencies"]:
        refuse_unmet(tx, feature)
    _refuse_files_in_use(tx, feature)
    wait = ceil(row["not_before"] - tx.now)
    assert 0 <= wait <= FARTHEST_BACK_OFF, "every other reason was excluded"
    raise NotReady(
        f"Feature {feature} failed recently and is not ready for another {wait} s.",
        next=[NEXT_FEATURE, _update(feature, "to end its back-off", retry=True)],
        id=feature,
        retry_after_seconds=wait,
    )


def refuse_shared_claim(tx: Transaction, row: Row) -> NoReturn:
    """Raise AlreadyClaimed with the token: the caller or one of its subagents made the claim on this connection."""
    raise AlreadyClaimed(
        f"{_held_since(tx, row)}: it was claimed on this connection. If that was you, go on with it.",
        next=[Step("feature_claim_and_get", purpose="if it was another agent")],
        id=row["id"],
        **_claimed_by(row),
        claim_token=row["claim_token"],
    )


def _held_since(tx: Transaction, row: Row) -> str:
    seconds = max(0, int(tx.now - row["claimed_at"]))
    return f"{row['claimed_by']} has held feature {row['id']} for {seconds} s"


def _claimed_by(row: Row) -> dict[str, Any]:
    return {"holder": row["claimed_by"], "since": iso(row["claimed_at"])}


def _refuse_files_in_use(tx: Transaction, feature: int) -> None:
    holder = holders_of(tx, [feature]).get(feature)
    if holder is not None:
        raise NotReady(
            f"Feature {feature} may change the same files as feature {holder['id']}, "
            f"which {holder['claimed_by']} has claimed.",
            next=[NEXT_FEATURE],
            id=feature,
            held_by=holder["id"],
            holder=holder["claimed_by"],
        )


def refuse_resting(row: Row) -> None:
    """Raise if the feature waits for a person or a planner, or is archived."""
    feature = row["id"]
    if row["status"] == Status.NEEDS_HUMAN:
        raise WaitingForHuman(
            f"Feature {feature} waits for a person's answer. A person answers with `dibs answer {feature}`.",
            next=[Step("feature_answer_human_input", {"feature_id": feature}, "to answer", ("answers",), Role.PLANNER)],
            id=feature,
        )
    if row["status"] == Status.STUCK:
        last = f" The last failure: {row['last_failure'][:200]}." if row["last_failure"] else ""
        raise Stuck(
            f"Feature {feature} is stuck: it failed, was skipped or was released too often, or was rejected.{last}",
            next=[_update(feature, "to return it to the queue", retry=True)],
            id=feature,
        )
    if row["status"] == Status.ARCHIVED:
        raise Archived(
            f"Feature {feature} is archived.", next=[_update(feature, "to restore it", archived=False)], id=feature
        )


def _update(feature: int, purpose: str, **change: bool) -> Step:
    return Step("feature_update", {"feature_id": feature, **change}, purpose, by=Role.PLANNER)


def earlier_outcome(tx: Transaction, feature: int, token: str | None, kind: Kind) -> dict[str, Any]:
    """Return the detail of the event if this token made the transition before; or raise the reason for the refusal.

    The end of the holder's connection has released its claims, too.
    """
    row = find(tx, feature)
    same = (kind, *ConnectionEnd) if kind is Kind.RELEASE else (kind,)
    if token is None or row["ended_token"] != token or row["ended_by"] not in same:
        refuse_transition(tx, feature, token)
    return last_detail(tx, feature, kind)


def refuse_transition(tx: Transaction, feature: int, token: str | None) -> NoReturn:
    """Raise the reason why a transition of a claim was refused."""
    row = find(tx, feature)
    if token is None:
        _refuse_without_token(row)
    if row["claim_token"] == token:
        refuse_unmet(tx, feature, claimed=True)  # the only other guard of a transition with a valid token
    refuse_lost(row)


def refuse_lost(row: Row, claim: str | None = None) -> NoReturn:
    """Raise ClaimLost with the present holder and the time of its claim. `claim` says which claim has ended."""
    feature, holder = row["id"], row["claimed_by"]
    since = iso(row["claimed_at"]) if holder else None
    now = f"{holder} has held it since {since}" if holder else f"it is {row['status']} now"
    raise ClaimLost(
        f"{claim or f'This claim of feature {feature}'} has ended; {now}. Nothing was changed. Stop work on it.",
        next=[NEXT_FEATURE],
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
            f"{holder} has held feature {feature} since {since}, and this call has no token for that claim.",
            next=[
                Step(None, purpose="if the claim is yours", needs=("claim_token",)),
                Step(
                    "feature_claim_and_get",
                    {"feature_id": feature, "resume": True},
                    "if you have lost its token",
                    needs=("agent",),
                ),
                NEXT_FEATURE,
            ],
            id=feature,
            holder=holder,
            since=since,
        )
    if row["status"] == Status.PASSING:
        raise AlreadyPassing(
            f"Feature {feature} is already passing, and nobody has claimed it.", next=[NEXT_FEATURE], id=feature
        )
    refuse_resting(row)
    raise NotClaimed(
        f"Feature {feature} is not claimed.",
        next=[Step("feature_claim_and_get", {"feature_id": feature}, "to claim it first")],
        id=feature,
    )
