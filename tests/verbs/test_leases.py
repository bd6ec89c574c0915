"""A lease is renewed while its holder lives, and its expiry ends the claim."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dibs.database import Database, VerbJob
from dibs.verbs import lease
from dibs.verbs.continue_claim import regain
from dibs.verbs.release import release, undeliver
from dibs_schema.refusals import ClaimLost
from dibs_schema.status import Kind, Status
from verbs.stage import (
    add,
    alter,
    board,
    expire,
    is_sound,
    journal,
    named,
    nameless,
    place,
    refused,
    row,
    rule,
    take,
)


def test_a_claim_has_a_lease_in_both_clocks(database: Database) -> None:
    """A lease ends its number of seconds after the claim, by the lease clock and by the wall clock."""
    (feature,) = add(database)
    before = database.read_now(lambda tx: tx.reading)
    answer = take(database, named("ada", session="here", lease=300), feature)
    after = database.read_now(lambda tx: tx.reading)
    kept = row(database, feature)
    assert kept["lease_clock"] == database.read_now(lambda tx: tx.clock)
    assert before + 300 <= kept["lease_ends"] <= after + 300
    assert kept["lease_expires_at"] == kept["claimed_at"] + 300
    assert answer.claim.expires_at.timestamp() == int(kept["lease_expires_at"])
    assert answer.claim.renewed


def test_without_a_connection_nobody_renews(database: Database) -> None:
    """A claim without a session says that its lease is not renewed."""
    add(database)
    assert not take(database, named("ada", session=None)).claim.renewed


def test_renewing_extends_and_records_nothing(database: Database) -> None:
    """A renewal extends the leases of the given tokens, and returns the tokens that are still valid."""
    one, two = place(database, Status.IN_PROGRESS), place(database, Status.IN_PROGRESS)
    for on in (one, two):
        alter(database, on.id, lease_ends=1.0, lease_expires_at=1.0)
    before = len(journal(database))
    assert database.write_now(lambda tx: lease.renew(tx, [one.token or "", "gone"])) == {one.token}
    assert row(database, one.id)["lease_ends"] > database.read_now(lambda tx: tx.reading)
    assert row(database, two.id)["lease_ends"] == 1.0
    assert len(journal(database)) == before


def test_a_heartbeat_is_recorded_only_with_a_note(database: Database) -> None:
    """A plain heartbeat extends the lease and leaves no event; a note leaves one."""
    on = place(database, Status.IN_PROGRESS)
    alter(database, on.id, lease_ends=1.0, last_activity_at=1.0)
    before = len(journal(database))
    plain = database.write_now(lambda tx: lease.heartbeat(tx, on.id, on.token))
    assert plain.expires_at is not None
    assert plain.expires_at.timestamp() == int(row(database, on.id)["lease_expires_at"])
    assert row(database, on.id)["last_activity_at"] > 1.0
    assert len(journal(database)) == before
    assert database.write_now(lambda tx: lease.heartbeat(tx, on.id, on.token, "half done")).noted
    assert journal(database, on.id)[-1]["detail"] == {"note": "half done"}


def test_the_reaper_takes_what_has_run_out_once(database: Database) -> None:
    """An expired claim is taken back with one failure and one event; a live one is left alone."""
    gone, live = place(database, Status.IN_PROGRESS), place(database, Status.IN_PROGRESS)
    expire(database, gone.id)
    assert database.read_now(lease.any_expired)
    assert database.write_now(lease.reap) == [gone.id]
    assert database.write_now(lease.reap) == []
    assert not database.read_now(lease.any_expired)
    kept = row(database, gone.id)
    assert (kept["status"], kept["failures"], kept["ended_token"]) == ("pending", 1, gone.token)
    assert row(database, live.id)["status"] == "in_progress"
    (event,) = [event for event in journal(database, gone.id) if event["kind"] == Kind.EXPIRE]
    assert (event["agent"], event["detail"]["holder"]) == ("dibs", gone.holder.name)
    refused(database, ClaimLost, lambda tx: lease.heartbeat(tx, gone.id, gone.token))
    assert is_sound(database)


def test_who_reaps_queues_for_it_only_where_a_lease_has_run_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim with nothing to reap is one write transaction, not two."""
    gone, live = place(database, Status.IN_PROGRESS), place(database, Status.IN_PROGRESS)
    engine = type(database._connections.engine)
    writing, begun = engine.write_transaction, []

    def counted(*args: Any, **more: Any) -> Any:
        begun.append(more)
        return writing(*args, **more)

    monkeypatch.setattr(engine, "write_transaction", counted)
    database.write_now(VerbJob(lambda _: None, upkeep=lease.REAPING))
    assert len(begun) == 1
    expire(database, gone.id)
    begun.clear()
    database.write_now(VerbJob(lambda _: None, upkeep=lease.REAPING))
    assert len(begun) == 2
    assert [row(database, one.id)["status"] for one in (gone, live)] == ["pending", "in_progress"]


def test_a_renewed_lease_is_not_reaped(database: Database) -> None:
    """A lease that had run out and was renewed before the reaper came still belongs to its holder."""
    on = place(database, Status.IN_PROGRESS)
    alter(database, on.id, lease_ends=0.0, lease_expires_at=0.0)
    database.write_now(lambda tx: lease.renew(tx, [on.token or ""]))
    assert database.write_now(lease.reap) == []


HOUR = 3_600.0
CLOCKS: list[tuple[str, dict[str, Any], bool]] = [
    ("this boot's clock decides, whatever the wall says", {"lease_expires_at": 0.0}, False),
    (
        "this boot's clock decides, even with the wall ahead",
        {"lease_ends": 0.0, "lease_seconds": 0.001, "lease_expires_at": 4e9},
        True,
    ),
    ("another boot is judged by the wall", {"lease_clock": "another", "lease_expires_at": 0.0}, True),
    ("another boot's reading means nothing here", {"lease_clock": "another", "lease_ends": 0.0}, False),
]


@pytest.mark.parametrize(("columns", "runs_out"), [case[1:] for case in CLOCKS], ids=[case[0] for case in CLOCKS])
def test_a_lease_is_judged_by_its_own_clock(database: Database, columns: dict[str, Any], runs_out: bool) -> None:
    """A lease of this boot is judged by the lease clock, any other by the wall clock."""
    on = place(database, Status.IN_PROGRESS)
    alter(database, on.id, **columns)
    assert database.write_now(lease.reap) == ([on.id] if runs_out else [])


def test_another_boots_lease_never_counts_for_more_than_one_lease(database: Database) -> None:
    """A wall-clock end further ahead than one lease came from a clock that has jumped, and is shortened."""
    on = place(database, Status.IN_PROGRESS)
    now = time.time()
    alter(database, on.id, lease_clock="another", lease_expires_at=now + HOUR)
    assert database.read_now(lease.any_expired)
    assert database.write_now(lease.reap) == []
    assert row(database, on.id)["lease_expires_at"] <= time.time() + 120
    assert not database.read_now(lease.any_expired)


def test_the_end_of_a_connection_gives_its_claims_back(database: Database) -> None:
    """All claims of a session are released, and none of another; each leaves one event in its holder's name."""
    add(database, 3)
    here, there = nameless("aaaa-here"), nameless("bbbb-there")
    mine = [take(database, here).feature.id, take(database, here).feature.id]
    theirs = take(database, there).feature.id
    assert database.write_now(lambda tx: lease.release_session(tx, here.session or "")) == mine
    assert [row(database, one)["status"] for one in (*mine, theirs)] == ["pending", "pending", "in_progress"]
    for one in mine:
        event = journal(database, one)[-1]
        assert (event["kind"], event["agent"], event["to_status"]) == (Kind.RELEASE, here.name, "pending")
    assert database.write_now(lambda tx: lease.release_session(tx, here.session or "")) == []
    assert is_sound(database)


@pytest.mark.parametrize("at_work", [True, False])
@pytest.mark.parametrize("for_a_lease", [True, False])
def test_the_end_of_a_connection_is_an_attempt_only_of_a_holder_that_was_idle_for_a_lease(
    database: Database, at_work: bool, for_a_lease: bool
) -> None:
    """Only a claim that was held for a lease without any call about the feature counts, and leads to `stuck`."""
    rule(database, max_attempts=1)
    on = place(database, Status.IN_PROGRESS)
    assert on.token is not None
    if for_a_lease:
        since = time.time() - 121
        alter(database, on.id, claimed_at=since, last_activity_at=since)
    if at_work:
        database.write_now(lambda tx: lease.touch(tx, on.id, on.token or ""))
    database.write_now(lambda tx: lease.release_session(tx, on.holder.session or ""))
    counts = for_a_lease and not at_work
    after = row(database, on.id)
    assert (after["status"], after["attempts"]) == (("stuck", 1) if counts else ("pending", 0))
    assert after["ended_by"] == ("abandon" if counts else "disconnect")
    event = journal(database, on.id)[-1]
    assert (event["to_status"], event["detail"]["attempts"]) == (after["status"], after["attempts"])


def test_a_resumed_claim_survives_the_first_connection(database: Database) -> None:
    """A claim that another connection resumed is not released with the old one."""
    (feature,) = add(database)
    take(database, named("ada", session="first"), feature)
    take(database, named("ada", session="second"), resume=True, force=True)
    assert database.write_now(lambda tx: lease.release_session(tx, "first")) == []
    assert row(database, feature)["claim_session"] == "second"


def test_an_undelivered_claim_is_taken_back(database: Database) -> None:
    """An undelivered claim is released once and counts as no attempt."""
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    database.write_now(lambda tx: undeliver(tx, "ada", token))
    after = row(database, feature)
    assert (after["status"], after["attempts"]) == ("pending", 0)
    before = board(database)
    database.write_now(lambda tx: undeliver(tx, "ada", token))
    assert board(database) == before


def test_a_claim_is_not_regained_while_other_claims_are_in_the_way(database: Database) -> None:
    """A claim stays lost while another agent works on its files, or its holder has as many claims as it may."""
    mine, sibling, other = (add(database, paths=paths)[0] for paths in (["src/a.py"], ["src/*.py"], ["docs"]))
    ada = named("ada", session="first")

    def again() -> str | None:
        return database.write_now(lambda tx: regain(tx, named("ada", session="second"), mine, token))

    token = take(database, ada, mine).claim.token
    database.write_now(lambda tx: lease.release_session(tx, "first"))
    theirs = take(database, named("grace"), sibling).claim.token
    assert again() is None
    database.write_now(lambda tx: release(tx, "grace", sibling, theirs))
    own = take(database, ada, other).claim.token
    assert again() is None
    database.write_now(lambda tx: release(tx, "ada", other, own))
    assert again() == "ada"
    assert row(database, mine)["claim_session"] == "second"
    assert is_sound(database)
