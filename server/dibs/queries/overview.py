"""What a person wants to see first: what needs a person, who works on what, and how fast the project goes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import bindparam, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.queries.oldest_features import LOOKED_AT, became, oldest, oldest_in_queue, oldest_waiting
from dibs.queries.open_questions import SHOWN_ASKER, SHOWN_PROMPT, count_open, first_open_rows, waiting_questions
from dibs.queries.pass_rate import estimate, expired_claims, read_rate
from dibs.queries.queue_state import LEASE_LEFT, counts
from dibs.queries.stats import percent_passing, total_of
from dibs.rules.conditions import F, among, in_project, is_, leased, renewed_lately, resting
from dibs.rules.dependencies import AWAITS_RECHECK
from dibs.rules.holder_names import program_in
from dibs.rules.truncate import json_bytes, truncate
from dibs.settings import shown_project
from dibs_schema.answers import Answer, ExpiredClaim, LiveClaim, Overview, PassToTest, PendingQuestion, StuckFeature
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, features

T = TypeVar("T", bound=Answer)

SHOWN, ROOM = 10, 1_350
"""The most entries of each list in the answer to a tool, and their most bytes."""
LONGEST_NAME, LONGEST_HOLDER, LONGEST_REASON = 80, 60, 200
"""Bytes."""

_E = events.c
_began = events.alias("began")
_began_by = (
    select(func.max(_began.c.id))
    .where(
        _began.c.project_id == F.project_id,
        _began.c.feature_id == F.id,
        among(_began.c.kind, (Kind.CLAIM, Kind.RESUME)),
    )
    .correlate(features)
    .scalar_subquery()
)
"""The id of the event with which a live claim began."""
_claims = hot(
    select(
        *(F.id, F.name, F.claimed_by, F.claimed_at, F.last_activity_at, F.lease_seconds),
        LEASE_LEFT.label("left"),
        renewed_lately().label("renewed"),
        _E.detail,
    )
    .select_from(features)
    .outerjoin(events, _E.id == _began_by)
    .where(in_project(), leased())
    .order_by(F.claimed_at, F.id)
    .limit(bindparam("most"))
)
_stuck = hot(
    select(F.id, F.name, F.last_failure, F.attempts, F.failures, F.skips, F.updated_at, _E.at, _E.kind, _E.detail)
    .select_from(features)
    .outerjoin(events, _E.id == became(Status.STUCK))
    .where(in_project(), resting(), is_(Status.STUCK), F.id > 0)
    .order_by(F.status, F.id)  # as the index
    .limit(LOOKED_AT)
)
_requests = hot(
    select(F.id, F.name, F.human_request, F.created_by, F.updated_at, _E.at, _E.agent)
    .select_from(features)
    .outerjoin(events, _E.id == became(Status.NEEDS_HUMAN))
    .where(in_project(), resting(), is_(Status.NEEDS_HUMAN), F.id > 0)
    .order_by(F.status, F.id)
    .limit(LOOKED_AT)
)
_unconfirmed = hot(
    select(F.id, F.name, F.passed_by, F.unconfirmed_since.label("since"))
    .where(in_project(), F.unconfirmed_since.is_not(None), is_(Status.PASSING))
    .order_by(F.unconfirmed_since, F.id)
    .limit(bindparam("most"))
)
_to_recheck = hot(
    select(F.id, F.name, F.passed_by, F.recheck_since.label("since"))
    .where(in_project(), AWAITS_RECHECK)
    .order_by(F.recheck_since, F.id)
    .limit(bindparam("most"))
)


def get_overview(tx: Transaction, database: str, most: int = SHOWN, room: int = ROOM) -> Overview:
    """Return what a person wants to see first. Each list has the `most` oldest entries, or those with `room` bytes."""
    found = counts(tx)
    rate = read_rate(tx)
    claims = [_claim(tx, row) for row in tx.all(_claims, most=most)]
    stuck = sorted((_stuck_feature(row) for row in tx.all(_stuck)), key=lambda one: one.since)
    requests = [_request(row) for row in tx.all(_requests)]
    asked = sorted([*requests, *_open_questions(tx, most)], key=lambda one: one.asked_at)
    unconfirmed = [_to_test(row) for row in tx.all(_unconfirmed, most=most)] if found.unconfirmed else []
    to_recheck = [_to_test(row) for row in tx.all(_to_recheck, most=most)] if found.to_recheck else []
    expired = [_expired(row) for row in expired_claims(tx, most)] if rate["expired"] else []
    short = partial(_short, most, room)
    return Overview(
        at=datetime.fromtimestamp(tx.now, UTC),
        project=shown_project(tx.project.name, database),
        database=database,
        counts=found,
        total=total_of(found),
        percent_passing=percent_passing(found),
        **short("questions", asked, found.needs_human + count_open(tx)),
        **short("stuck", stuck, found.stuck),
        **short("unconfirmed", unconfirmed, found.unconfirmed),
        **short("claims", claims, found.in_progress),
        **short("expired", expired, rate["expired"]),
        **short("to_recheck", to_recheck, found.to_recheck),
        oldest=[
            *oldest_in_queue(tx),
            *oldest_waiting(tx),
            *oldest("in_progress", ((one.id, one.claimed_at) for one in claims)),
            *oldest("needs_human", ((one.id, one.asked_at) for one in requests)),
            *oldest("stuck", ((one.id, one.since) for one in stuck)),
            *oldest("unconfirmed", ((one.id, one.since) for one in unconfirmed)),
            *oldest("to_recheck", ((one.id, one.since) for one in to_recheck)),
        ],
        passed_last_hour=rate["last_hour"],
        passed_last_day=rate["last_day"],
        counted_since=rate["counted_since"],
        estimate=estimate(rate, found, tx.now),
    )


def _short(most: int, room: int, name: str, entries: list[T], total: int) -> dict[str, Any]:
    """Return the member with as many first entries as fit, and the member that counts the others."""
    shown = 0
    for one in entries[:most]:
        room -= json_bytes(one.wire()) + 1
        if room < 0:
            break
        shown += 1
    return {name: entries[:shown], f"more_{name}": max(0, total - shown)}


def _name(row: Row) -> str:
    return truncate(row["name"], LONGEST_NAME) or ""


def _claim(tx: Transaction, row: Row) -> LiveClaim:
    renewed_at = tx.now - max(0.0, row["lease_seconds"] - row["left"])
    return LiveClaim(
        id=row["id"],
        name=_name(row),
        agent=truncate(row["claimed_by"], LONGEST_HOLDER) or "",
        client=program_in(row["claimed_by"]) or (row["detail"] or {}).get("client"),
        claimed_at=datetime.fromtimestamp(row["claimed_at"], UTC),  # to the microsecond, to tell it from the next claim
        last_call_at=row["last_activity_at"],
        last_sign_at=max(row["last_activity_at"], renewed_at),
        lease_seconds=max(0, round(row["left"])),
        renewed=bool(row["renewed"]),
    )


def _stuck_feature(row: Row) -> StuckFeature:
    return StuckFeature(
        id=row["id"],
        name=_name(row),
        since=row["at"] or row["updated_at"],
        reason=truncate(_why_stuck(row), LONGEST_REASON) or "",
        last_failure=truncate(row["last_failure"], LONGEST_REASON),
    )


def _why_stuck(row: Row) -> str:
    detail = row["detail"] or {}
    match row["kind"]:
        case Kind.SKIP:
            return f"skipped {row['skips']} times, last because: {detail.get('reason')}"
        case Kind.FAIL:
            return f"failed {row['failures']} times in {row['attempts']} attempts"
        case Kind.REJECT:
            return f"rejected: {detail.get('reason')}"
        case Kind.EXPIRE | Kind.RELEASE:
            return f"{row['attempts']} attempts without an outcome"
        case _:
            return "stuck when it was added or restored"


def _request(row: Row) -> PendingQuestion:
    return PendingQuestion(
        id=row["id"],
        name=_name(row),
        prompt=truncate((row["human_request"] or {}).get("prompt"), SHOWN_PROMPT) or "",
        asked_by=truncate(row["agent"] or row["created_by"], SHOWN_ASKER),  # an imported request has no event
        asked_at=row["at"] or row["updated_at"],
    )


def _open_questions(tx: Transaction, most: int) -> Iterable[PendingQuestion]:
    rows = first_open_rows(tx, most)
    for row, one in zip(rows, waiting_questions(tx, rows), strict=True):
        yield PendingQuestion(**dict(one), asked_at=row["asked_at"])


def _to_test(row: Row) -> PassToTest:
    passed_by = truncate(row["passed_by"], LONGEST_HOLDER)
    return PassToTest(id=row["id"], name=_name(row), passed_by=passed_by, since=row["since"])


def _expired(row: Row) -> ExpiredClaim:
    holder = truncate((row["detail"] or {}).get("holder"), LONGEST_HOLDER)
    return ExpiredClaim(id=row["id"], name=_name(row), agent=holder or "", at=row["at"])
