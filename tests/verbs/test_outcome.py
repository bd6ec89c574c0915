"""The ends of a claim: counters of dependents, back-off, quarantine, late tokens and repeated calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.handover import work_of
from dibs.verbs import ask_person, lease, outcome, skip
from dibs.verbs.claim import claim
from dibs.verbs.release import UNCLAIMED, release
from dibs.verbs.update import change
from dibs_schema.answers import Acknowledgement
from dibs_schema.evidence import EvidenceFields
from dibs_schema.refusals import (
    AlreadyPassing,
    ClaimLost,
    NotClaimed,
    NotFound,
    Stuck,
    TokenRequired,
    UnmetDependencies,
)
from dibs_schema.status import Kind, Status
from verbs.stage import (
    NEVER_ISSUED,
    REQUEST,
    Placed,
    add,
    alter,
    board,
    depend,
    expire,
    finish,
    is_sound,
    journal,
    named,
    place,
    refused,
    row,
    rule,
    take,
    token_of,
)


class Ending(Protocol):
    """A move that ends a claim by its token."""

    def __call__(self, tx: Transaction, /, feature: int, token: str | None) -> Acknowledgement: ...


ENDINGS: dict[Kind, Ending] = {
    Kind.PASS: lambda tx, feature, token: outcome.mark_passing(tx, "ada", feature, token),
    Kind.FAIL: lambda tx, feature, token: outcome.mark_failing(tx, "ada", feature, "broken", token),
    Kind.SKIP: lambda tx, feature, token: skip.skip(tx, "ada", feature, "later", token),
    Kind.RELEASE: lambda tx, feature, token: release(tx, "ada", feature, token),
    Kind.ASK: lambda tx, feature, token: ask_person.request_human_input(tx, "ada", feature, token, REQUEST),
}
"""The moves that end a claim by its token."""


def _unmet(database: Database, *ids: int) -> list[int]:
    return [row(database, one)["unmet_dependencies"] for one in ids]


def test_passing_frees_the_dependents(database: Database) -> None:
    """A pass counts down each dependent, and names those that became ready."""
    needed, other, free, held = add(database, 4)
    depend(database, free, needed)
    depend(database, held, needed, other)
    token = token_of(database, needed)
    answer = database.write_now(lambda tx: ENDINGS[Kind.PASS](tx, needed, token))
    assert (answer.status, answer.unblocked, answer.unblocked_count) == ("passing", [free], 1)
    assert _unmet(database, free, held) == [0, 1]
    assert is_sound(database)


def test_a_pass_shows_ten_of_what_it_freed_and_counts_all(database: Database) -> None:
    """An acknowledgement stays short however many features were freed."""
    (needed,) = add(database)
    waiting = add(database, 15, dependencies=[needed])
    token = token_of(database, needed)
    answer = database.write_now(lambda tx: ENDINGS[Kind.PASS](tx, needed, token))
    assert (answer.unblocked, answer.unblocked_count) == (waiting[:10], 15)


def test_a_regression_holds_the_dependents_back(database: Database) -> None:
    """A regression counts up each dependent; a holder keeps its claim, but its pass is refused."""
    needed, waiting = add(database, 2)
    depend(database, waiting, needed)
    finish(database, needed)
    token = token_of(database, waiting)
    database.write_now(lambda tx: outcome.mark_failing(tx, "tester", needed, "broke"))
    kept = row(database, needed)
    assert (kept["status"], kept["last_failure"], kept["passed_by"], kept["passed_at"]) == (
        "pending",
        "broke",
        None,
        None,
    )
    assert (row(database, waiting)["status"], _unmet(database, waiting)) == ("in_progress", [1])
    late = refused(database, UnmetDependencies, lambda tx: ENDINGS[Kind.PASS](tx, waiting, token))
    assert late.details["unmet"] == [needed]
    finish(database, needed)
    database.write_now(lambda tx: ENDINGS[Kind.PASS](tx, waiting, token))
    assert is_sound(database)


def test_a_pass_resets_the_counters_and_keeps_who_and_why(database: Database) -> None:
    """Attempts, failures, skips, back-off and the last failure are cleared; evidence and author are kept."""
    on = place(database, Status.IN_PROGRESS)
    alter(database, on.id, failures=2, skips=1, attempts=4, last_failure="before")
    proof = EvidenceFields.model_validate({"summary": "green", "commands": [{"command": "pytest", "exit_code": 0}]})
    answer = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, proof))
    assert answer.evidence
    kept = row(database, on.id)
    assert [kept[name] for name in ("attempts", "failures", "skips", "not_before", "last_failure")] == [
        0,
        0,
        0,
        None,
        None,
    ]
    assert (kept["passed_by"], kept["evidence"]) == (on.holder.name, proof.model_dump(exclude_defaults=True))


def test_verifying_keeps_the_state_and_notes_the_time(database: Database) -> None:
    """A pass of a passing feature records the test; new evidence replaces the old evidence."""
    on = place(database, Status.PASSING)
    proof = EvidenceFields(summary="still green")
    database.write_now(lambda tx: outcome.mark_passing(tx, "tester", on.id, None, proof))
    tested = row(database, on.id)
    assert tested["last_tested_at"] is not None
    assert tested["passed_by"] == on.holder.name
    database.write_now(lambda tx: outcome.mark_passing(tx, "tester", on.id))
    assert row(database, on.id)["evidence"] == {"summary": "still green"}


def test_back_off_doubles_up_to_ten_minutes(database: Database) -> None:
    """After the n-th failure a feature backs off for 30, 60, 120 ... seconds, at most 600."""
    rule(database, max_failures=100, max_same_failures=100, max_attempts=100)
    (feature,) = add(database)
    pauses: list[int] = []
    for _ in range(7):
        token = token_of(database, feature)
        failed = partial(outcome.mark_failing, by="ada", feature=feature, reason="broken", token=token)
        answer = database.write_now(failed)
        kept = row(database, feature)
        pauses.append(round(kept["not_before"] - kept["updated_at"]))
        assert answer.ready_at is not None
        assert answer.ready_at.timestamp() == int(kept["not_before"])
        alter(database, feature, not_before=kept["updated_at"])
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert row(database, feature)["failures"] == 7


def test_the_back_off_is_a_rule_of_the_project(database: Database) -> None:
    """With a back-off of 0 a failed feature is ready at once."""
    rule(database, back_off=0)
    on = place(database, Status.IN_PROGRESS)
    database.write_now(lambda tx: ENDINGS[Kind.FAIL](tx, on.id, on.token))
    take(database, named("grace"), on.id)


def test_a_claim_ends_the_back_off(database: Database) -> None:
    """A feature that is claimed after its back-off has no back-off while it is claimed."""
    rule(database, back_off=0)
    on = place(database, Status.IN_PROGRESS)
    database.write_now(lambda tx: ENDINGS[Kind.FAIL](tx, on.id, on.token))
    take(database, named("grace"), on.id)
    assert row(database, on.id)["not_before"] is None


def _fail(database: Database, feature: int) -> str:
    alter(database, feature, not_before=None)
    token = token_of(database, feature)
    return database.write_now(lambda tx: ENDINGS[Kind.FAIL](tx, feature, token)).status


def _release(database: Database, feature: int) -> str:
    token = token_of(database, feature)
    return database.write_now(lambda tx: ENDINGS[Kind.RELEASE](tx, feature, token)).status


def _skip(database: Database, feature: int) -> str:
    return database.write_now(lambda tx: ENDINGS[Kind.SKIP](tx, feature, None)).status


def _expire(database: Database, feature: int) -> str:
    token_of(database, feature)
    expire(database, feature)
    assert database.write_now(lease.reap) == [feature]
    return str(row(database, feature)["status"])


QUARANTINE = [
    ("three failures", _fail, {}, 3),
    ("three expiries", _expire, {}, 3),
    ("three skips", _skip, {}, 3),
    ("ten claims given back", _release, {}, 10),
    ("two failures under a rule", _fail, {"max_failures": 2}, 2),
    ("two claims that failed under a rule", _fail, {"max_attempts": 2}, 2),
    ("two claims that ran out under a rule", _expire, {"max_attempts": 2}, 2),
    ("one skip under a rule", _skip, {"max_skips": 1}, 1),
]


@pytest.mark.parametrize(
    ("end", "rules", "most"), [case[1:] for case in QUARANTINE], ids=[case[0] for case in QUARANTINE]
)
def test_quarantine_comes_with_the_last_allowed(
    database: Database, end: Callable[[Database, int], str], rules: dict[str, int], most: int
) -> None:
    """A feature is stuck exactly when the rule's number of failures, skips or claims is reached."""
    rule(database, **rules)
    (feature,) = add(database)
    assert [end(database, feature) for _ in range(most)] == ["pending"] * (most - 1) + ["stuck"]
    assert journal(database, feature)[-1]["to_status"] == "stuck"


def test_a_failure_that_quarantines_promises_no_return(database: Database) -> None:
    """The acknowledgement of the last failure carries no time at which the feature would be ready."""
    rule(database, max_failures=1)
    on = place(database, Status.IN_PROGRESS)
    answer = database.write_now(lambda tx: ENDINGS[Kind.FAIL](tx, on.id, on.token))
    assert (answer.status, answer.failures, answer.ready_at) == ("stuck", 1, None)


@pytest.mark.parametrize("kind", ENDINGS)
def test_repeating_the_ending_move_returns_its_answer_again(database: Database, kind: Kind) -> None:
    """The same transition with the same token gets the same answer, and changes nothing."""
    on = place(database, Status.IN_PROGRESS)
    first = database.write_now(lambda tx: ENDINGS[kind](tx, on.id, on.token))
    before = board(database)
    again = database.write_now(lambda tx: ENDINGS[kind](tx, on.id, on.token))
    assert again == first
    assert board(database) == before


@pytest.mark.parametrize("kind", [Kind.PASS, Kind.FAIL, Kind.SKIP, Kind.RELEASE])
def test_a_replay_is_the_same_after_others_went_on(database: Database, kind: Kind) -> None:
    """A repeated call gets the first answer, even if the feature has changed since."""
    rule(database, back_off=0)
    on = place(database, Status.IN_PROGRESS)
    first = database.write_now(lambda tx: ENDINGS[kind](tx, on.id, on.token))
    if kind is Kind.PASS:
        database.write_now(lambda tx: outcome.mark_passing(tx, "tester", on.id))
    else:
        take(database, named("grace"), on.id)
    assert database.write_now(lambda tx: ENDINGS[kind](tx, on.id, on.token)) == first


def test_a_release_by_the_end_of_a_connection_can_be_repeated(database: Database) -> None:
    """A release after the connection's end is acknowledged with the result of that end."""
    on = place(database, Status.IN_PROGRESS)
    database.write_now(lambda tx: lease.release_session(tx, on.holder.session or ""))
    before = board(database)
    answer = database.write_now(lambda tx: ENDINGS[Kind.RELEASE](tx, on.id, on.token))
    assert (answer.status, answer.attempts) == ("pending", 0)
    assert board(database) == before


def _waiting(database: Database, on: Placed) -> None:
    """Leave the feature in the state after the first transition."""


def _claimed_by_another(database: Database, on: Placed) -> None:
    alter(database, on.id, not_before=None)
    take(database, named("grace"), on.id)


def _passed_by_another(database: Database, on: Placed) -> None:
    _claimed_by_another(database, on)
    token = row(database, on.id)["claim_token"]
    database.write_now(lambda tx: outcome.mark_passing(tx, "grace", on.id, token))


MEANWHILE = {
    "waiting": _waiting,
    "claimed by another": _claimed_by_another,
    "passed by another": _passed_by_another,
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("late", [*ENDINGS, Kind.HEARTBEAT])
@pytest.mark.parametrize("first", [Kind.FAIL, Kind.SKIP, Kind.RELEASE, Kind.EXPIRE])
def test_a_late_token_changes_nothing(database: Database, first: Kind, late: Kind, meanwhile: str) -> None:
    """After a claim has ended, no other move passes by its token, in whatever state the feature is now."""
    on = place(database, Status.IN_PROGRESS)
    if first is Kind.EXPIRE:
        expire(database, on.id)
        database.write_now(lease.reap)
    else:
        database.write_now(lambda tx: ENDINGS[first](tx, on.id, on.token))
    MEANWHILE[meanwhile](database, on)
    if late is first:
        before = board(database)
        try:
            database.write_now(lambda tx: ENDINGS[late](tx, on.id, on.token))
        except ClaimLost:
            assert meanwhile == "passed by another"
        assert board(database) == before
        return

    def move(tx: Transaction) -> Any:
        if late is Kind.HEARTBEAT:
            return lease.heartbeat(tx, on.id, on.token)
        return ENDINGS[late](tx, on.id, on.token)

    lost = refused(database, ClaimLost, move)
    now = row(database, on.id)
    assert lost.details["status"] == now["status"]
    assert lost.details.get("holder") == now["claimed_by"]
    assert ("since" in lost.details) == (now["claimed_at"] is not None)


def test_who_passed_it_may_report_that_it_broke(database: Database) -> None:
    """The token that passed a feature reports a regression of it, as a call without a token does."""
    on = place(database, Status.IN_PROGRESS)
    database.write_now(lambda tx: ENDINGS[Kind.PASS](tx, on.id, on.token))
    database.write_now(lambda tx: ENDINGS[Kind.FAIL](tx, on.id, on.token))
    assert (row(database, on.id)["status"], journal(database, on.id)[-1]["kind"]) == ("pending", Kind.REGRESS)


@pytest.mark.parametrize("kind", [*ENDINGS, Kind.HEARTBEAT])
@pytest.mark.parametrize("token", [NEVER_ISSUED, None], ids=["a token never issued", "no token"])
def test_a_foreign_call_changes_nothing(database: Database, kind: Kind, token: str | None) -> None:
    """A claimed feature is moved by its token alone."""
    on = place(database, Status.IN_PROGRESS)

    def move(tx: Transaction) -> Any:
        if kind is Kind.HEARTBEAT:
            return lease.heartbeat(tx, on.id, token)
        return ENDINGS[kind](tx, on.id, token)

    refused(database, TokenRequired if token is None else ClaimLost, move)


def test_moves_of_unclaimed_features_say_so(database: Database) -> None:
    """Without a claim a move is refused as not claimed, already passing, or not found."""
    waiting, done = place(database, Status.PENDING), place(database, Status.PASSING)
    refused(database, NotClaimed, lambda tx: ENDINGS[Kind.PASS](tx, waiting.id, None))
    refused(database, AlreadyPassing, lambda tx: lease.heartbeat(tx, done.id, None))
    for move in ENDINGS.values():
        refused(database, NotFound, partial(move, feature=999, token=None))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("status", [one for one in Status if one is not Status.IN_PROGRESS])
def test_a_release_of_what_nobody_has_claimed_changes_nothing(
    database: Database, status: Status, *, force: bool
) -> None:
    """The feature is as the caller wants it, so the release succeeds and says its status and attempts."""
    free = place(database, status)
    before = board(database)
    attempts = row(database, free.id)["attempts"]
    answer = database.write_now(lambda tx: release(tx, "ada", free.id, None, force=force))
    assert (answer.id, answer.status, answer.attempts, answer.hint) == (free.id, status, attempts, UNCLAIMED)
    assert board(database) == before


def test_a_planner_frees_a_claim_by_force(database: Database) -> None:
    """A forced release needs no token; the holder's next call gets claim_lost."""
    on = place(database, Status.IN_PROGRESS)
    answer = database.write_now(lambda tx: release(tx, "planner", on.id, None, force=True))
    assert answer.status == "pending"
    assert journal(database, on.id)[-1]["agent"] == "planner"
    refused(database, ClaimLost, lambda tx: ENDINGS[Kind.PASS](tx, on.id, on.token))


def test_the_next_worker_is_told_what_happened(database: Database) -> None:
    """A claim brings the last three failures, newest first, and the notes, oldest first, with their authors."""
    rule(database, max_failures=100, max_same_failures=100, max_skips=100)
    (feature,) = add(database)
    for number in range(5):
        alter(database, feature, not_before=None)
        agent = named(f"agent-{number}")
        token = take(database, agent, feature).claim.token
        claimed: dict[str, Any] = {"feature": feature, "token": token}
        database.write_now(partial(lease.heartbeat, note=f"note {number}", **claimed))
        database.write_now(partial(outcome.mark_failing, by=agent.name, reason=f"reason {number}", **claimed))
    alter(database, feature, not_before=None)
    work = take(database, named("grace"), feature).feature
    assert [(one.reason, one.agent) for one in work.failures] == [(f"reason {n}", f"agent-{n}") for n in (4, 3, 2)]
    assert [(one.text, one.agent) for one in work.notes] == [(f"note {n}", f"agent-{n}") for n in range(5)]


def test_a_worker_is_told_what_its_feature_builds_on(database: Database) -> None:
    """A claim brings each dependency with its status and one line of its evidence."""
    needed, waiting = add(database, 2, name="the base")
    depend(database, waiting, needed)
    token = token_of(database, needed)
    proof = EvidenceFields(summary="see base.py\nand more")
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", needed, token, proof))
    (base,) = take(database, named("grace"), waiting).feature.dependencies
    assert (base.id, base.name, base.status, base.evidence) == (needed, "the base", "passing", "see base.py")


def test_handing_over_reads_and_never_writes(database: Database) -> None:
    """The hand-over of a claim can be read again in a read-only transaction."""
    on = place(database, Status.IN_PROGRESS)
    kept = row(database, on.id)
    assert database.read_now(lambda tx: work_of(tx, kept)).id == on.id


def test_a_claimed_feature_is_not_passed_over_its_dependencies(database: Database) -> None:
    """A dependency that is added to a claimed feature holds back its pass, and not the claim."""
    on = place(database, Status.IN_PROGRESS)
    (needed,) = add(database)
    depend(database, on.id, needed)
    refused(database, UnmetDependencies, lambda tx: ENDINGS[Kind.PASS](tx, on.id, on.token))
    depend(database, on.id)
    database.write_now(lambda tx: ENDINGS[Kind.PASS](tx, on.id, on.token))


LINES = ("It broke at line 7 of src/a.py", "it broke at line 12 of /tmp/b.py", "It broke\nat line 3 of C:\\c.py")
"""One reason: case, spaces, numbers and paths do not count."""


def _fail_for(database: Database, feature: int, *reasons: str) -> Acknowledgement:
    for reason in reasons:
        alter(database, feature, not_before=None)
        token = take(database, named(f"ada-{feature}"), feature).claim.token
        answer = database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, reason, token))  # noqa: B023
    return answer


def test_failures_for_the_same_reason_quarantine(database: Database) -> None:
    """After `max_same_failures` in a row the feature is stuck, although it may fail more often."""
    rule(database, max_failures=10, max_same_failures=3)
    (feature,) = add(database)
    assert _fail_for(database, feature, *LINES[:2]).status == "pending"
    assert _fail_for(database, feature, LINES[2]).status == "stuck"
    stuck = refused(database, Stuck, lambda tx: claim(tx, named("ada"), feature))
    assert "The same reason 3 times in a row: It broke" in stuck.message
    assert [
        (event["detail"] or {}).get("in_a_row") for event in journal(database, feature) if event["kind"] == "fail"
    ] == [
        None,
        2,
        3,
    ]


def _let_expire(database: Database, feature: int) -> None:
    alter(database, feature, not_before=None)
    take(database, named(f"ada-{feature}"), feature)
    expire(database, feature)
    database.write_now(lease.reap)


def _pass_and_report(database: Database, feature: int) -> None:
    alter(database, feature, not_before=None)
    finish(database, feature)
    database.write_now(lambda tx: outcome.mark_failing(tx, "ben", feature, LINES[0]))


@pytest.mark.parametrize(
    "between",
    [
        lambda database, feature: _fail_for(database, feature, "another reason"),
        _let_expire,
        _pass_and_report,
        lambda database, feature: database.write_now(lambda tx: change(tx, "planner", feature, {}, retry=True)),
    ],
    ids=["another reason", "expired", "passed and reported", "retried"],
)
def test_only_failures_in_a_row_count(database: Database, between: Callable[[Database, int], object]) -> None:
    """Another end of an attempt, a pass or a retry in between starts the count again."""
    rule(database, max_failures=10, max_same_failures=2)
    (feature,) = add(database)
    _fail_for(database, feature, LINES[0])
    between(database, feature)
    assert _fail_for(database, feature, LINES[1]).status == "pending"
    assert _fail_for(database, feature, LINES[2]).status == "stuck"


def test_the_next_worker_hears_of_the_same_reason(database: Database) -> None:
    """The hand-over marks a failure that has the reason of the attempt before it; a skip in between changes nothing."""
    (feature,) = add(database)
    _fail_for(database, feature, LINES[0])
    database.write_now(lambda tx: skip.skip(tx, "ada", feature, "later"))
    _fail_for(database, feature, LINES[1])
    alter(database, feature, not_before=None)
    failures = take(database, named("ada"), feature).feature.failures
    assert [(one.reason, one.same_reason_as_before) for one in failures] == [
        (LINES[1], True),
        ("later", False),
        (LINES[0], False),
    ]
