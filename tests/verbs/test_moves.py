"""Every transition of the table in `dibs_schema.status` has exactly the listed sources and targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.rules.conditions import in_project, this
from dibs.transfer import importer
from dibs.transfer.comparison import Difference
from dibs.transfer.take_differences import take_differences
from dibs.verbs import ask_person, ask_user, claim, create, lease, outcome, review, skip, update
from dibs.verbs.continue_claim import regain
from dibs.verbs.depend import add_dependency
from dibs.verbs.release import release
from dibs_schema.refusals import Refusal
from dibs_schema.status import TRANSITIONS, Kind, Status
from dibs_schema.tables import features, questions
from verbs.stage import (
    NEVER_ISSUED,
    REPLY,
    REQUEST,
    Placed,
    add,
    alter,
    ask_question,
    board,
    expire,
    imported,
    is_sound,
    journal,
    named,
    new,
    place,
    row,
    rule,
    take,
)

Attempt = Callable[[Transaction, Placed], Any]

P, I, D, H, S, A = Status  # noqa: E741 - as in the table itself
_ended_token = select(features.c.ended_token).where(this())
TABLE = {move.kind: move for move in TRANSITIONS}


def _answer(tx: Transaction, on: Placed) -> Any:
    if on.token is not None:
        return ask_person.answer_claimed(tx, "user", on.id, on.token, REQUEST, REPLY)
    return ask_person.answer_feature(tx, "user", on.id, REPLY)


def _archive(tx: Transaction, on: Placed) -> Any:
    return update.change(tx, "planner", on.id, {}, archived=True).changed


def _restore(tx: Transaction, on: Placed) -> Any:
    return update.change(tx, "planner", on.id, {}, archived=False).changed


IMPORTED = {P: D, D: S, S: H, H: P}
"""The state that the file gives a feature, by its state here; else it says that the feature is archived."""


def _import(tx: Transaction, on: Placed) -> bool:
    one = imported("f", status=IMPORTED.get(on.status, A))
    differing = [Difference(on.id, "f", "status", on.status, one.status)]
    kept = take_differences(tx, differing, {"f": one}, {"f": on.id}, force=True)
    return not kept and on.status is not one.status


def _token(on: Placed) -> str:
    return on.token or NEVER_ISSUED


def _resume(tx: Transaction, on: Placed) -> object:
    token = str(tx.value(_ended_token, feature=on.id))
    return regain(tx, on.holder, on.id, token) or claim.claim(tx, on.holder, on.id, resume=True)


def _ask(tx: Transaction, on: Placed) -> object:
    open_question = tx.value(select(questions.c.id).where(in_project(questions)))
    if open_question is not None:
        return ask_user.wait_for_question(tx, "ada", on.id, _token(on), open_question)
    return ask_person.request_human_input(tx, "ada", on.id, _token(on), REQUEST)


ATTEMPTS: dict[Kind, Attempt] = {
    Kind.CLAIM: lambda tx, on: claim.claim(tx, named("grace"), on.id),
    Kind.RESUME: _resume,
    Kind.HEARTBEAT: lambda tx, on: lease.heartbeat(tx, on.id, _token(on), "half done"),
    Kind.RELEASE: lambda tx, on: release(tx, "ada", on.id, _token(on)),
    Kind.EXPIRE: lambda tx, on: lease.reap(tx),
    Kind.PASS: lambda tx, on: outcome.mark_passing(tx, "ada", on.id, _token(on)),
    Kind.VERIFY: lambda tx, on: outcome.mark_passing(tx, "ada", on.id),
    Kind.FAIL: lambda tx, on: outcome.mark_failing(tx, "ada", on.id, "broken", _token(on)),
    Kind.REGRESS: lambda tx, on: outcome.mark_failing(tx, "ada", on.id, "broken"),
    Kind.RETURN: lambda tx, on: review.return_to_queue(tx, "Ann", on.id, "not yet"),
    Kind.REJECT: lambda tx, on: review.reject(tx, "Ann", on.id, "not needed"),
    Kind.SKIP: lambda tx, on: skip.skip(tx, "ada", on.id, "later", on.token),
    Kind.ASK: _ask,
    Kind.ANSWER: _answer,
    Kind.CANCEL: lambda tx, on: ask_person.cancel_request(tx, "user", on.id),
    Kind.RETRY: lambda tx, on: update.change(tx, "planner", on.id, {}, retry=True),
    Kind.ARCHIVE: _archive,
    Kind.RESTORE: _restore,
    Kind.IMPORT: _import,
}
"""Each transition, made with the feature's claim, if any. Without a change the result is empty, or a refusal."""

# The source and target of each transition, and the settings of the project.
TRIED: list[tuple[Kind, Status, Status, dict[str, int]]] = [
    (Kind.CLAIM, P, I, {}),
    (Kind.RESUME, I, I, {}),
    (Kind.RESUME, P, I, {}),
    (Kind.HEARTBEAT, I, I, {}),
    (Kind.RELEASE, I, P, {}),
    (Kind.RELEASE, I, S, {"max_attempts": 1}),
    (Kind.EXPIRE, I, P, {}),
    (Kind.EXPIRE, I, S, {"max_failures": 1}),
    (Kind.EXPIRE, I, S, {"max_attempts": 1}),
    (Kind.PASS, I, D, {}),
    (Kind.VERIFY, D, D, {}),
    (Kind.FAIL, I, P, {}),
    (Kind.FAIL, I, S, {"max_failures": 1}),
    (Kind.FAIL, I, S, {"max_attempts": 1}),
    (Kind.FAIL, I, S, {"max_same_failures": 1}),
    (Kind.REGRESS, D, P, {}),
    (Kind.RETURN, D, P, {}),
    (Kind.REJECT, D, S, {}),
    (Kind.SKIP, P, P, {}),
    (Kind.SKIP, P, S, {"max_skips": 1}),
    (Kind.SKIP, I, P, {}),
    (Kind.SKIP, I, S, {"max_skips": 1}),
    (Kind.ASK, I, H, {}),
    (Kind.ASK, I, P, {}),
    (Kind.ANSWER, H, P, {}),
    (Kind.ANSWER, I, I, {}),
    (Kind.CANCEL, H, P, {}),
    (Kind.RETRY, S, P, {}),
    (Kind.RETRY, P, P, {}),
    (Kind.ARCHIVE, P, A, {}),
    (Kind.ARCHIVE, D, A, {}),
    (Kind.ARCHIVE, H, A, {}),
    (Kind.ARCHIVE, S, A, {}),
    *((Kind.IMPORT, source, target, {}) for source, target in IMPORTED.items()),
]


def _prepare(database: Database, kind: Kind, on: Placed, target: Status) -> None:
    if (kind, target) == (Kind.ASK, P):
        ask_question(database)
    if kind is Kind.EXPIRE and on.status is I:
        expire(database, on.id)
    if kind is Kind.RETRY and on.status is P:
        alter(database, on.id, not_before=row(database, on.id)["updated_at"] + 500)
    if kind is Kind.RESUME and on.status is P:
        take(database, named("ada", session="of a server that ends"), on.id)
        database.write_now(lambda tx: lease.release_session(tx, "of a server that ends"))


@pytest.mark.parametrize(("kind", "source", "target", "rules"), TRIED)
def test_a_move_leads_where_the_table_says(
    database: Database, kind: Kind, source: Status, target: Status, rules: dict[str, int]
) -> None:
    """A transition from its source ends in its target and writes exactly one event about it."""
    on = place(database, source)
    rule(database, **rules)
    _prepare(database, kind, on, target)
    before = len(journal(database))
    assert database.write_now(lambda tx: ATTEMPTS[kind](tx, on))
    (event,) = journal(database)[before:]
    assert row(database, on.id)["status"] == target
    assert (event["feature_id"], event["kind"]) == (on.id, kind)
    assert (event["from_status"], event["to_status"]) == (source, target)
    assert is_sound(database)


@pytest.mark.parametrize("target", TABLE[Kind.RESTORE].targets)
def test_restoring_leads_back(database: Database, target: Status) -> None:
    """An archived feature returns to the state that it was archived from."""
    on = place(database, target)
    database.write_now(lambda tx: _archive(tx, on))
    assert row(database, on.id)["archived_from"] == target
    database.write_now(lambda tx: _restore(tx, on))
    event = journal(database, on.id)[-1]
    assert (event["kind"], event["from_status"], event["to_status"]) == (Kind.RESTORE, A, target)
    assert (row(database, on.id)["status"], row(database, on.id)["archived_from"]) == (target, None)


def test_the_transitions_are_the_whole_table() -> None:
    """These tests cover exactly the sources and targets of every transition except CREATE and RESTORE."""
    for kind in ATTEMPTS.keys() - {Kind.RESTORE}:
        tried = [(source, target) for one, source, target, _ in TRIED if one is kind]
        assert {source for source, _ in tried} == set(TABLE[kind].sources), kind
        assert {target for _, target in tried} == set(TABLE[kind].targets), kind
    assert ATTEMPTS.keys() | {Kind.CREATE} == TABLE.keys()


ELSEWHERE = [
    (kind, status)
    for kind in ATTEMPTS
    for status in Status
    if status not in TABLE[kind].sources and (kind, status) != (Kind.RESUME, P)
]
NOTHING_TO_DO = {Kind.EXPIRE: set(Status), Kind.ARCHIVE: {A}, Kind.RESTORE: set(Status) - {A}, Kind.IMPORT: {I, A}}
"""Transitions that change nothing from another status and are not refused."""


@pytest.mark.parametrize(("kind", "status"), ELSEWHERE)
def test_a_move_from_elsewhere_changes_nothing(database: Database, kind: Kind, status: Status) -> None:
    """A transition from another status is refused, and every row stays unchanged."""
    on = place(database, status)
    before = board(database)
    if status in NOTHING_TO_DO.get(kind, ()):
        assert not database.write_now(lambda tx: ATTEMPTS[kind](tx, on))
    else:
        with pytest.raises(Refusal) as caught:
            database.write_now(lambda tx: ATTEMPTS[kind](tx, on))
        assert caught.value.message
    assert board(database) == before


def test_resuming_what_nobody_holds_claims_it(database: Database) -> None:
    """A resume by a name without a claim is an ordinary claim."""
    on = place(database, P)
    database.write_now(lambda tx: ATTEMPTS[Kind.RESUME](tx, on))
    assert [event["kind"] for event in journal(database, on.id)] == [Kind.CREATE, Kind.CLAIM]


@pytest.mark.parametrize("status", [status for status in Status if status is not I])
def test_a_claim_leaves_nothing_behind(database: Database, status: Status) -> None:
    """Outside in_progress the columns of a claim are empty."""
    kept = row(database, place(database, status).id)
    claim_columns = [name for name in kept if name.startswith(("claim", "lease"))] + ["last_activity_at"]
    assert {name: kept[name] for name in claim_columns} == dict.fromkeys(claim_columns)


@pytest.mark.parametrize("status", Status)
def test_changes_beside_the_moves_keep_the_status(database: Database, status: Status) -> None:
    """A note, a new description and a new dependency write one event each, from the status to itself."""
    on = place(database, status)
    (other,) = add(database)
    changes: dict[Kind, Callable[[Transaction], object]] = {
        Kind.NOTE: lambda tx: update.add_note(tx, "ada", on.id, "mind the gap"),
        Kind.UPDATE: lambda tx: update.change(tx, "planner", on.id, {"name": "another"}),
        Kind.DEPEND: lambda tx: add_dependency(tx, "planner", on.id, other),
    }
    for kind, verb in changes.items():
        database.write_now(verb)
        event = journal(database, on.id)[-1]
        assert (event["kind"], event["from_status"], event["to_status"]) == (kind, status, status)
    assert row(database, on.id)["status"] == status
    assert is_sound(database)


def test_creating_starts_a_feature(database: Database) -> None:
    """A created feature is pending, and its first event comes from nowhere."""
    made = database.write_now(lambda tx: create.create(tx, "planner", new()))
    (event,) = journal(database, made.ids[0])
    assert (event["kind"], event["from_status"], event["to_status"]) == (Kind.CREATE, None, P)


@pytest.mark.parametrize("status", [P, D, H, S, A])
def test_importing_starts_a_feature_where_the_table_says(database: Database, status: Status) -> None:
    """An imported feature starts in a state that the table of moves lists for CREATE."""
    one = imported("one", status=status)
    made = database.write_now(lambda tx: importer.import_features(tx, [one]))
    (event,) = journal(database, made.first_id)
    assert (event["kind"], event["from_status"], event["to_status"]) == (Kind.CREATE, None, status)
    assert status in TABLE[Kind.CREATE].targets
    assert is_sound(database)


@pytest.mark.parametrize("kind", [Kind.HEARTBEAT, Kind.PASS, Kind.FAIL, Kind.SKIP, Kind.RELEASE, Kind.ASK])
def test_a_lease_that_has_run_out_still_belongs_to_its_holder(database: Database, kind: Kind) -> None:
    """Until it is reaped, the token of an expired lease still works."""
    on = place(database, I)
    expire(database, on.id)
    database.write_now(lambda tx: ATTEMPTS[kind](tx, on))
    assert journal(database, on.id)[-1]["kind"] == kind


def test_a_back_off_from_a_wrong_clock_does_not_hold(database: Database) -> None:
    """A feature whose back-off ends further ahead than any back-off lasts can be claimed."""
    on = place(database, P)
    alter(database, on.id, not_before=4e9)
    database.write_now(lambda tx: ATTEMPTS[Kind.CLAIM](tx, on))
    assert row(database, on.id)["status"] == I
