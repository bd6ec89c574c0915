"""A release by force is refused if the claim is another one than its caller has seen."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.queries.overview import get_overview
from dibs.verbs.release import UNCLAIMED, release
from dibs_schema.operations import Operations, read_arguments
from dibs_schema.refusals import InvalidInput
from dibs_schema.row_version import Version
from dibs_schema.status import Status
from verbs.stage import Placed, alter, journal, named, place, refused, row, take


def _version(text: str) -> Version:
    """Return a version as the operation reads it from its argument."""
    arguments = {"feature_id": 1, "force": True, "unless_claimed_since": text}
    seen = read_arguments(Operations.release, arguments).unless_claimed_since
    assert isinstance(seen, Version)
    return seen


def _changed_hands(database: Database, on: Placed) -> None:
    """Let another agent claim the feature right after its holder has released it."""
    database.write_now(lambda tx: release(tx, "ada", on.id, on.token))
    take(database, named("bo"), on.id)


def test_the_claim_that_was_seen_is_released(database: Database) -> None:
    """An answer has its beginning to the second, the overview to the microsecond, and the row exactly: each names it."""
    for shown in ("answer", "overview", "row"):
        on = place(database, Status.IN_PROGRESS)
        (claim,) = database.read_now(lambda tx: get_overview(tx, "here")).claims
        seen = {
            "answer": database.read_now(partial(get_by_id, feature=on.id)).wire()["claimed_at"],
            "overview": claim.claimed_at.isoformat(),
            "row": repr(row(database, on.id)["claimed_at"]),
        }
        version = _version(seen[shown])
        done = database.write_now(partial(release, by="meg", feature=on.id, token=None, force=True, seen=version))
        assert done.status == "pending", shown


@pytest.mark.parametrize("later", [1e-5, 0.5, 60.0, -5.0])
def test_another_claim_is_not_released(database: Database, later: float) -> None:
    """However soon it changed hands, also if the clock was set back: the refusal names the holder, nothing is changed."""
    on = place(database, Status.IN_PROGRESS)
    began = row(database, on.id)["claimed_at"]
    _changed_hands(database, on)
    alter(database, on.id, claimed_at=began + later)
    before = row(database, on.id), len(journal(database, on.id))
    for text in (repr(began), datetime.fromtimestamp(began, UTC).isoformat()):
        seen = _version(text)
        verb = partial(release, by="meg", feature=on.id, token=None, force=True, seen=seen)
        refusal = refused(database, InvalidInput, verb)
        assert (refusal.details["field"], refusal.details["holder"]) == ("unless_claimed_since", "bo")
        assert refusal.next[0].operation == "feature_get_by_id"
    assert (row(database, on.id), len(journal(database, on.id))) == before


def test_a_claim_that_has_ended_needs_no_release(database: Database) -> None:
    """If nobody has claimed the feature since, it is as the caller wants it, and the answer says so."""
    on = place(database, Status.IN_PROGRESS)
    seen = _version(repr(row(database, on.id)["claimed_at"]))
    database.write_now(lambda tx: release(tx, "ada", on.id, on.token))
    done = database.write_now(lambda tx: release(tx, "meg", on.id, None, force=True, seen=seen))
    assert (done.status, done.hint) == ("pending", UNCLAIMED)
