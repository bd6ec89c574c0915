"""Each check accepts correct records, and finds a planted violation."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from dibs.queries.audit import Audit
from dibs_proof import invariants
from dibs_proof.acknowledgements import Acknowledged, nothing_lost
from dibs_proof.demo import verdict
from dibs_proof.demo.state import LateCall
from dibs_proof.holding import Holding
from dibs_proof.read_database import Event
from dibs_schema.status import Kind

CREATED = ("create", "import", None, "pending")
CLAIMED = ("claim", "ada", "pending", "in_progress")
PASSED = ("pass", "ada", "in_progress", "passing")
FAILED = ("fail", "ada", "in_progress", "pending")
EXPIRED = ("expire", "dibs", "in_progress", "pending")
CLAIMED_BY_BOB = ("claim", "bob", "pending", "in_progress")
PASSED_BY_BOB = ("pass", "bob", "in_progress", "passing")


def events(*steps: tuple[str, str, str | None, str | None], feature: int = 1, first: int = 1) -> list[Event]:
    """Return events of one feature, in order."""
    numbers = count(first)
    return [Event(next(numbers), feature, agent, kind, source, target) for kind, agent, source, target in steps]


def holding(agent: str = "ada", *, at: float, until: float | None, token: str = "") -> Holding:
    """Return a claim of feature 1 that was sent at `at` and answered a moment later."""
    return Holding(1, "One", agent, token or f"token-{agent}-{at}", at, at + 0.1, until)


SOUND = events(CREATED, CLAIMED, FAILED, CLAIMED, EXPIRED, CLAIMED_BY_BOB, PASSED_BY_BOB)


# -- one holder -----------------------------------------------------------------------------------


def test_sound_events_have_one_holder_at_a_time() -> None:
    """Claims that end before the next one begins are no double claims, however they end."""
    found = invariants.one_holder_in_the_events(SOUND)
    assert found.holds
    assert found.checked == 3


def test_a_second_claim_before_the_first_has_ended_is_seen() -> None:
    """Two successive claims of one feature are a double claim, whose line names both agents."""
    found = invariants.one_holder_in_the_events(events(CREATED, CLAIMED, CLAIMED_BY_BOB, PASSED))
    assert found.broken == ["event 3: bob claims feature 1, which ada holds"]


def test_claims_of_different_features_do_not_disturb_each_other() -> None:
    """Holders are counted for each feature by itself."""
    one, two = events(CREATED, CLAIMED), events(CREATED, CLAIMED_BY_BOB, feature=2, first=3)
    assert invariants.one_holder_in_the_events([*one, *two]).holds


def test_an_end_without_a_claim_is_seen() -> None:
    """A pass of a feature without a holder has no claim to end."""
    found = invariants.one_holder_in_the_events(events(CREATED, PASSED))
    assert found.broken == ["event 2: pass of feature 1, which has no holder"]


def test_a_skip_of_a_waiting_feature_ends_no_claim() -> None:
    """A feature may be skipped while it is pending; that is no end of a claim."""
    assert invariants.one_holder_in_the_events(events(CREATED, ("skip", "ada", "pending", "pending"))).holds


def test_events_without_gaps_are_unbroken() -> None:
    """Every event starts from the status in which the previous one ended."""
    assert invariants.events_are_unbroken(SOUND).holds


def test_a_missing_event_is_a_gap() -> None:
    """A claim of a feature that is in progress shows a missing event."""
    found = invariants.events_are_unbroken([event for event in SOUND if event.kind != "expire"])
    assert len(found.broken) == 1


def test_holdings_one_after_the_other_are_sound() -> None:
    """A token that arrives after the other holder's last call is no overlap."""
    found = invariants.one_holder_among_the_clients(
        [holding(at=1, until=2), holding("bob", at=2, until=3), holding(at=4, until=None)]
    )
    assert found.holds
    assert found.checked == 3


@pytest.mark.parametrize("until", [5.0, None])
def test_two_clients_that_hold_the_same_feature_are_seen(until: float | None) -> None:
    """A token that arrives while another client certainly holds the feature is a double claim."""
    found = invariants.one_holder_among_the_clients([holding(at=1, until=until), holding("bob", at=2, until=3)])
    assert found.broken == ["bob got feature 1 while ada held it"]


def test_a_long_holding_is_not_hidden_by_a_short_one() -> None:
    """Every later token is compared with the claim that lasts longest."""
    found = invariants.one_holder_among_the_clients(
        [holding(at=1, until=9), holding("bob", at=2, until=3), holding("eve", at=5, until=6)]
    )
    assert len(found.broken) == 2


def test_a_token_that_is_given_out_twice_is_seen() -> None:
    """A token that is given to two holders is a violation."""
    twice = [holding(at=1, until=2, token="same"), holding("bob", at=3, until=4, token="same")]
    assert invariants.one_holder_among_the_clients(twice).broken == [
        "the token of bob on feature 1 was given out before"
    ]


# -- nothing acknowledged is lost ------------------------------------------------------------------

ACKNOWLEDGED = [
    Acknowledged(Kind.CLAIM, 1, "ada", "in_progress"),
    Acknowledged(Kind.FAIL, 1, "ada", "pending"),
    Acknowledged(Kind.CLAIM, 1, "ada", "in_progress"),
    Acknowledged(Kind.CLAIM, 1, "bob", "in_progress"),
    Acknowledged(Kind.PASS, 1, "bob", "passing"),
]


def test_what_was_acknowledged_is_found_in_the_events() -> None:
    """Correct records have an event for each acknowledged transition."""
    found = nothing_lost(ACKNOWLEDGED, SOUND)
    assert found.holds
    assert found.checked == len(ACKNOWLEDGED)


@pytest.mark.parametrize("kind", ["claim", "fail", "pass"])
def test_an_acknowledged_move_without_its_event_is_seen(kind: str) -> None:
    """A transition that was acknowledged and has no event is lost; each missing event counts once."""
    missing = [event for event in SOUND if event.kind != kind]
    assert len(nothing_lost(ACKNOWLEDGED, missing).broken) == sum(one.kind == kind for one in ACKNOWLEDGED)


def test_one_event_does_not_stand_for_two_acknowledgements() -> None:
    """The same transition acknowledged twice needs two events."""
    assert len(nothing_lost([*ACKNOWLEDGED, ACKNOWLEDGED[-1]], SOUND).broken) == 1


def test_an_acknowledgement_of_another_status_is_seen() -> None:
    """A failure that was acknowledged as stuck but recorded as pending is another transition."""
    changed = [replace(ACKNOWLEDGED[1], status="stuck")]
    assert nothing_lost(changed, SOUND).broken == [
        "ada got an acknowledgement of its fail of feature 1 (stuck), which has no event"
    ]


# -- the end ---------------------------------------------------------------------------------------


def test_a_drained_backlog_is_done() -> None:
    """Passing features, and features that were imported as archived, count as done."""
    assert verdict.all_done({1: "pending", 2: "archived"}, {1: "passing", 2: "archived"}).holds


@pytest.mark.parametrize("final", [{1: "stuck"}, {1: "archived"}, {1: "in_progress"}, {}])
def test_a_feature_that_is_not_done_is_seen(final: dict[int, str]) -> None:
    """A stuck, newly archived, claimed or missing feature is not done."""
    assert len(verdict.all_done({1: "pending"}, final).broken) == 1


def depending(*steps: tuple[str, str, str | None, str | None], first: int) -> list[Event]:
    """Return events of feature 1, whose first event says that it depends on feature 2."""
    creation, *rest = events(*steps, first=first)
    return [replace(creation, added=(2,)), *rest]


def test_a_feature_claimed_after_its_dependency_is_sound() -> None:
    """A claim may follow the pass of its dependency."""
    first = events(CREATED, CLAIMED, PASSED, feature=2)
    found = invariants.dependencies_respected([*first, *depending(CREATED, CLAIMED, first=4)])
    assert found.holds
    assert found.checked == 1


def test_an_archived_dependency_holds_nothing_back() -> None:
    """A dependency that was imported as archived is satisfied."""
    needed = events(("create", "import", None, "archived"), feature=2)
    assert invariants.dependencies_respected([*needed, *depending(CREATED, CLAIMED, first=2)]).holds


def test_a_dependency_counts_from_its_event_to_its_removal() -> None:
    """A claim before a dependency was added, or after it was removed, needs nothing of it."""
    created, claimed, failed, again = events(CREATED, CLAIMED, FAILED, CLAIMED)
    depend = replace(failed, kind="depend", source="pending")
    added, removed = replace(depend, added=(2,)), replace(depend, removed=(2,))
    assert invariants.dependencies_respected([created, claimed, failed, added, removed, again]).holds
    (line,) = invariants.dependencies_respected([created, claimed, failed, removed, added, again]).broken
    assert line == "event 4: ada claims feature 1, which depends on 2, and that is None"


@pytest.mark.parametrize("steps", [(CREATED,), (CREATED, CLAIMED), (CREATED, CLAIMED, FAILED), ()])
def test_a_claim_before_its_dependency_is_seen(
    steps: tuple[tuple[str, str, str | None, str | None], ...],
) -> None:
    """A claim while a dependency is pending, claimed, failed or unknown breaks the order."""
    needed = events(*steps, feature=2)
    found = invariants.dependencies_respected([*needed, *depending(CREATED, CLAIMED, first=9)])
    assert len(found.broken) == 1


FILES = {1: ["src/**"], 2: ["src/app.py"], 3: ["docs"]}


def test_claims_on_the_same_files_are_seen() -> None:
    """A claim during another claim on its files breaks the rule; a later claim, or a claim on other files, does not."""
    first, during = events(CREATED, CLAIMED), events(CREATED, CLAIMED, feature=2, first=9)
    assert len(invariants.areas_respected([*first, *during], FILES).broken) == 1
    after = events(CREATED, CLAIMED, PASSED)
    assert invariants.areas_respected([*after, *during], FILES).holds
    elsewhere = events(CREATED, CLAIMED, feature=3, first=9)
    found = invariants.areas_respected([*first, *elsewhere], FILES)
    assert (found.holds, found.checked) == (True, 1)


def test_counters_that_equal_what_the_audit_recomputes_are_sound() -> None:
    """An audit that found nothing is a finding that holds."""
    assert invariants.sound(Audit(features=3)).holds


@pytest.mark.parametrize(
    "audit",
    [
        Audit(features=3, counters={1: (2, 1)}),
        Audit(features=3, heights={1: (2, 1)}),
        Audit(features=3, areas={1: (2, 1)}),
        Audit(features=3, states={1: ("passing", "pending")}),
        Audit(features=3, gaps={1: ("claim", "stuck", "pending")}),
        Audit(features=3, claims={1: "the claim columns do not fit the status pending"}),
    ],
)
def test_a_counter_that_differs_from_what_the_audit_recomputes_is_seen(audit: Audit) -> None:
    """Wrong dependency counts, heights and statuses are each reported with their feature."""
    assert "feature 1" in invariants.sound(audit).broken[0]


# -- the dead agent --------------------------------------------------------------------------------

VICTIM = holding(at=1, until=4)


def test_a_take_over_after_the_lease_is_sound() -> None:
    """Another agent may have the feature once the lease has expired."""
    assert verdict.taken_over_in_time(VICTIM, holding("bob", at=4, until=5), lease=3).holds


def test_without_a_victim_there_is_nothing_to_check() -> None:
    """If no agent was killed, the finding has checked nothing."""
    assert verdict.taken_over_in_time(None, None, lease=3).checked == 0


@pytest.mark.parametrize("taker", [None, holding(at=5, until=6), holding("bob", at=2, until=6)])
def test_a_take_over_that_is_missing_early_or_no_take_over_is_seen(taker: Holding | None) -> None:
    """No claim, a claim by the killed agent, and a claim before the lease's end are no take-overs."""
    assert len(verdict.taken_over_in_time(VICTIM, taker, lease=3).broken) == 1


REFUSED = LateCall("feature_skip", "claim_lost", {"status": "in_progress"}, {"status": "in_progress"})


def test_a_dead_agents_token_that_is_refused_is_sound() -> None:
    """A late call gets claim_lost and leaves the row unchanged."""
    assert verdict.lost_token_refused([REFUSED], expected=1).holds


@pytest.mark.parametrize(
    "late",
    [
        [],
        [replace(REFUSED, code=None)],
        [replace(REFUSED, code="not_claimed")],
        [replace(REFUSED, after={"status": "passing"})],
        [replace(REFUSED, after={})],
    ],
)
def test_a_dead_agents_token_that_works_is_seen(late: list[LateCall]) -> None:
    """A late call that was not made, accepted, refused for another reason or changed the row is reported."""
    assert len(verdict.lost_token_refused(late, expected=1).broken) == 1
