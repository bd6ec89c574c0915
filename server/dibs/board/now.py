"""The page Now: what needs a person, who works on what, how fast the project goes, and what happened last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.board.questions import forms_of
from dibs.queries.event_list import EventFilter, list_events
from dibs.queries.overview import get_overview
from dibs_schema.answers import Counts, LiveClaim, Overview

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN, ROOM, EVENTS = 50, 1 << 20, 30
"""The most entries of each list, and their most bytes; and the events."""
ENDING = 0.2
"""The part of a lease that is left when its claim is about to end, if no connection renews it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a live claim: when it ends, how much of it is left, and whether the claim is about to end."""

    ends_at: datetime
    left: int
    whole: int
    is_ending: bool


def read_now(tx: Transaction, project: Project, _: Asked) -> dict[str, Any]:
    """Return what the page shows."""
    overview = get_overview(tx, project.database.label, SHOWN, ROOM)
    leases = {one.id: _lease(one, overview.at) for one in overview.claims}
    return {
        "overview": overview,
        "questions": forms_of(tx, overview.questions),
        "leases": leases,
        "ending": [one for one in overview.claims if leases[one.id].is_ending],
        "more": overview.more_questions + overview.more_stuck + overview.more_unconfirmed,
        "parts": parts_of(overview.counts),
        "oldest": _oldest(overview),
        "done": tx.project.settings,
        "events": list_events(tx, EVENTS, EventFilter())[0],
    }


def _lease(claim: LiveClaim, now: datetime) -> Lease:
    left = claim.lease_seconds
    whole = left + max(0, round((now - claim.last_sign_at).total_seconds()))
    is_ending = not claim.renewed and left <= whole * ENDING
    return Lease(now + timedelta(seconds=left), left, whole, is_ending)


def parts_of(counts: Counts) -> list[tuple[str, str, int]]:
    """Return the states that have features, each with its heading and count. The counts add up to all features."""
    waiting = counts.pending - counts.ready
    parts = (
        ("passing", "passing", counts.passing),
        ("in_progress", "in progress", counts.in_progress),
        ("ready", "ready", counts.ready),
        ("waiting", "waiting", waiting),
        ("needs_human", "waiting for your answer", counts.needs_human),
        ("stuck", "stuck", counts.stuck),
        ("archived", "archived", counts.archived),
    )
    return [one for one in parts if one[2]]


def _oldest(overview: Overview) -> dict[str, Any]:
    return {one.state: one for one in overview.oldest}


PAGE = Page("/", "Now", "now.html", ("summary", "needs_you", "agents", "progress", "events"), read_now)
