"""A claim gives one holder one feature, in queue order, or the reason why not."""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise

import pytest

from dibs.database import Database, open_database
from dibs.rules.critical_path import true_heights
from dibs.settings import Settings
from dibs.verbs import claim, skip, update
from dibs_schema.answers import Claimed, Idle
from dibs_schema.refusals import (
    AlreadyClaimed,
    AlreadyHolding,
    AlreadyPassing,
    Archived,
    ClaimLost,
    InvalidInput,
    NotFound,
    NotReady,
    Stuck,
    TooManyClaims,
    UnmetDependencies,
    WaitingForHuman,
)
from dibs_schema.status import Kind, Status
from verbs.stage import (
    add,
    alter,
    depend,
    finish,
    is_sound,
    journal,
    named,
    nameless,
    place,
    refused,
    row,
    rule,
    take,
    token_of,
)


def _drain(database: Database, category: str | None = None) -> list[int]:
    """Return the ids in the order in which claims get them."""
    ids: list[int] = []
    while True:
        agent = named(f"drainer-{len(ids)}")
        answer = database.write_now(partial(claim.claim, holder=agent, category=category))
        if isinstance(answer, Idle):
            return ids
        ids.append(answer.feature.id)


def test_the_queue_is_ordered_by_skips_then_priority_then_id(database: Database) -> None:
    """Fewer skips come first, then lower priorities, then older features."""
    first, second, urgent, skipped, equal = (
        *add(database, priority=5),
        *add(database, priority=5),
        *add(database, priority=-3),
        *add(database, priority=-9),
        *add(database, priority=5),
    )
    alter(database, skipped, skips=1)
    assert _drain(database) == [urgent, first, second, equal, skipped]


def test_a_skipped_feature_goes_last(database: Database) -> None:
    """A skip puts a feature behind all others, and further skips behind those that were skipped less."""
    one, two, three = add(database, 3)
    for feature in (one, two, one):
        database.write_now(partial(skip.skip, by="ada", feature=feature, reason="later"))
    assert [row(database, feature)["skips"] for feature in (one, two, three)] == [2, 1, 0]
    assert row(database, one)["priority"] > row(database, two)["priority"] > row(database, three)["priority"]
    assert _drain(database) == [three, two, one]


def test_a_category_narrows_the_claim(database: Database) -> None:
    """A claim with a category gets the next ready feature of that category alone."""
    add(database, category="ui")
    database_features = add(database, 2, category="db")
    assert _drain(database, "db") == database_features


def test_blocked_features_are_not_claimed(database: Database) -> None:
    """A feature with an unmet dependency is not in the queue until that dependency passes."""
    needed, waiting = add(database, 2)
    depend(database, waiting, needed)
    assert take(database, named("ada")).feature.id == needed
    idle = database.write_now(lambda tx: claim.claim(tx, named("grace")))
    assert isinstance(idle, Idle)
    assert idle.state == "waiting_for_claims"


def test_critical_path_puts_the_longest_chain_first(database: Database) -> None:
    """Under `critical_path` the feature that the longest chain waits on comes first, then priority, then id."""
    lone, low, short, tail, long, middle, end = add(database, 7)
    alter(database, low, priority=100)
    depend(database, tail, short)
    depend(database, middle, long)
    depend(database, end, middle)
    rule(database, order="critical_path")
    assert [row(database, one)["height"] for one in (lone, low, short, tail, long, middle, end)] == [
        0,
        0,
        1,
        0,
        2,
        1,
        0,
    ]
    assert _drain(database) == [long, short, lone, low]


def test_heights_follow_every_change_of_the_graph(database: Database) -> None:
    """Under `critical_path` an audit finds the stored heights right after creating, linking, unlinking and passing."""
    rule(database, order="critical_path")
    ids = add(database, 12)
    for below, above in pairwise(ids):
        depend(database, above, below)
    more = add(database, 60, dependencies=ids[:3])
    assert row(database, ids[0])["height"] == 11
    depend(database, ids[6])
    finish(database, ids[0])
    depend(database, more[0], ids[5], more[1])
    heights = database.read_now(true_heights)
    assert {one: row(database, one)["height"] for one in [*ids, *more]} == {one: heights[one] for one in [*ids, *more]}
    assert row(database, ids[0])["height"] == 6
    assert is_sound(database)


def test_changing_the_order_rebuilds_the_heights(database: Database) -> None:
    """Heights are not kept under `priority`, and made right when the order changes to `critical_path`."""
    low, high = add(database, 2)
    depend(database, high, low)
    for order, heights in (("critical_path", [1, 0]), ("priority", [None, None]), ("critical_path", [1, 0])):
        rule(database, order=order)
        assert [row(database, one)["height"] for one in (low, high)] == heights


def test_two_callers_never_get_the_same_feature(database: Database, shared_db: str) -> None:
    """Claims that many threads and connections make at once hand out each feature exactly once."""
    add(database, 24)
    name = database.write_now(lambda tx: tx.project.name)
    got: list[int] = []

    def drain(number: int) -> None:
        mine = open_database(Settings(db=shared_db, project=name))
        try:
            for turn in range(8):
                agent = named(f"agent-{number}-{turn}")
                answer = mine.write_now(partial(claim.claim, holder=agent))
                if isinstance(answer, Claimed):
                    got.append(answer.feature.id)
        finally:
            mine.close(patience=5)

    threads = [threading.Thread(target=drain, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 25))
    assert is_sound(database)


REFUSED = [
    (Status.IN_PROGRESS, AlreadyClaimed),
    (Status.PASSING, AlreadyPassing),
    (Status.NEEDS_HUMAN, WaitingForHuman),
    (Status.STUCK, Stuck),
    (Status.ARCHIVED, Archived),
]


@pytest.mark.parametrize(("status", "kind"), REFUSED)
def test_a_claim_by_id_says_why_not(database: Database, status: Status, kind: type[AlreadyClaimed]) -> None:
    """A feature that cannot be claimed is refused with the code for its status."""
    on = place(database, status, name="a secret plan")
    refusal = refused(database, kind, lambda tx: claim.claim(tx, named("grace"), on.id))
    assert refusal.details["id"] == on.id
    assert "secret plan" not in str(refusal.answer())


def test_a_loser_learns_only_who_has_the_feature_and_since_when(database: Database) -> None:
    """The refusal of a lost race names the holder and the time of its claim: no text, no token."""
    on = place(database, Status.IN_PROGRESS, name="a secret plan")
    refusal = refused(database, AlreadyClaimed, lambda tx: claim.claim(tx, named("grace"), on.id))
    assert set(refusal.details) == {"id", "holder", "since"}
    assert refusal.details["holder"] == on.holder.name
    assert "secret plan" not in refusal.message
    assert on.token is not None
    assert on.token not in refusal.message


def test_a_claim_of_nothing_is_not_found(database: Database) -> None:
    """An id that no feature has is not found."""
    refused(database, NotFound, lambda tx: claim.claim(tx, named("ada"), 999))


def test_a_blocked_feature_names_what_it_waits_for(database: Database) -> None:
    """The refusal lists the dependencies that are not passing, and not those that are."""
    done, needed, waiting = add(database, 3)
    finish(database, done)
    depend(database, waiting, done, needed)
    refusal = refused(database, UnmetDependencies, lambda tx: claim.claim(tx, named("ada"), waiting))
    assert refusal.details["unmet"] == [needed]


def test_a_backing_off_feature_says_for_how_long(database: Database) -> None:
    """The refusal of a feature that backs off carries the seconds that are left."""
    (feature,) = add(database)
    now = database.write_now(lambda tx: tx.now)
    alter(database, feature, not_before=now + 100)
    refusal = refused(database, NotReady, lambda tx: claim.claim(tx, named("ada"), feature))
    assert 90 <= refusal.details["retry_after_seconds"] <= 100
    assert refusal.retryable


def test_a_name_holds_one_claim(database: Database) -> None:
    """A second claim under one name is refused with what the name holds, from any connection."""
    one, two = add(database, 2, name="the held one")
    take(database, named("ada", session="here"), one)
    there = named("ada", session="there")
    for asked in (None, two, one):
        refusal = refused(database, AlreadyHolding, partial(claim.claim, holder=there, feature=asked))
        assert (refusal.details["id"], refusal.details["name"]) == (one, "the held one")
        assert refusal.details["age_seconds"] >= 0


def test_a_name_holds_as_many_claims_as_the_rule_allows(database: Database) -> None:
    """`max_claims` is a rule of the project, obeyed from the next claim on."""
    add(database, 3)
    rule(database, max_claims=2)
    take(database, named("ada"))
    take(database, named("ada"))
    refused(database, AlreadyHolding, lambda tx: claim.claim(tx, named("ada")))


def test_without_a_name_each_call_is_a_claim_of_its_own(database: Database) -> None:
    """A nameless connection may hold many claims, up to `max_claims_per_connection`."""
    add(database, 4)
    rule(database, max_claims_per_connection=2)
    here, there = nameless("aaaa-here"), nameless("bbbb-there")
    held = [take(database, here).feature.id, take(database, here).feature.id]
    assert refused(database, TooManyClaims, lambda tx: claim.claim(tx, here)).details["held"] == held
    assert take(database, there).feature.id not in held


def test_connections_whose_shown_names_are_equal_do_not_count_together(database: Database) -> None:
    """The claims of one nameless connection do not count for another that is shown under the same name."""
    (one,) = add(database)
    rule(database, max_claims_per_connection=1)
    here, there = nameless("abcd-here"), nameless("abcd-there")
    assert here.name == there.name
    take(database, here, one)
    idle = database.write_now(lambda tx: claim.claim(tx, there))
    assert isinstance(idle, Idle)


def test_resuming_takes_over_with_a_fresh_token(database: Database) -> None:
    """A resume returns the feature with a new token and session; from a connection that lives, only with `force`."""
    (feature,) = add(database)
    before = take(database, named("ada", session="here"))
    there = named("ada", session="there")
    refused(database, AlreadyHolding, lambda tx: claim.claim(tx, there, resume=True))
    after = take(database, there, resume=True, force=True)
    assert after.feature.id == feature
    assert after.claim.token != before.claim.token
    kept = row(database, feature)
    assert (kept["claim_token"], kept["claim_session"], kept["attempts"]) == (after.claim.token, "there", 1)
    lost = refused(database, ClaimLost, lambda tx: skip.skip(tx, "ada", feature, "late", before.claim.token))
    assert lost.details["holder"] == "ada"
    assert [event["kind"] for event in journal(database, feature)][-1] == Kind.RESUME


def test_a_resume_by_id_takes_that_one(database: Database) -> None:
    """With an id, resume takes back that feature and no other that the name holds."""
    one, two = add(database, 2)
    rule(database, max_claims=2)
    take(database, named("ada"), one)
    take(database, named("ada"), two)
    assert take(database, named("ada"), two, resume=True).feature.id == two


def test_a_resume_takes_only_what_its_own_name_holds(database: Database) -> None:
    """Another name's claim cannot be resumed."""
    on = place(database, Status.IN_PROGRESS)
    refused(database, AlreadyClaimed, lambda tx: claim.claim(tx, named("grace"), on.id, resume=True))


def test_a_resume_needs_a_name(database: Database) -> None:
    """A connection without a name cannot resume."""
    add(database)
    refusal = refused(database, InvalidInput, lambda tx: claim.claim(tx, nameless("abcd"), resume=True))
    assert refusal.details["field"] == "resume"


def test_attempts_are_counted_and_told_from_the_second_on(database: Database) -> None:
    """Each claim counts one attempt, and the answer has the number from the second on."""
    on = place(database, Status.IN_PROGRESS)
    assert row(database, on.id)["attempts"] == 1
    database.write_now(lambda tx: skip.skip(tx, "ada", on.id, "later", on.token))
    assert take(database, named("grace"), on.id).feature.attempts == 2


def test_tokens_are_long_enough_and_never_repeat(database: Database) -> None:
    """A token has 13 letters of a lowercase alphabet without lookalikes, at least 60 bits."""
    tokens = {token_of(database, feature) for feature in add(database, 20)}
    assert len(tokens) == 20
    for token in tokens:
        assert len(token) == 13
        assert set(token) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_an_archived_feature_is_skipped_by_the_queue(database: Database) -> None:
    """An archived feature is never claimed."""
    gone, there = add(database, 2)
    database.write_now(lambda tx: update.change(tx, "planner", gone, {}, archived=True))
    assert _drain(database) == [there]
