"""Features wait for the answer to a question: nobody gets them before, and each later claim brings the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.get import get_by_id
from dibs.queries.open_questions import open_questions
from dibs.queries.queue_state import why_idle
from dibs.queries.search import get_blocked, get_ready, search
from dibs.queries.stats import get_stats
from dibs.rules.dependencies import MAY_END_FREELY
from dibs.verbs import ask_user, claim, lease, outcome
from dibs.verbs.depend import add_dependency
from dibs.verbs.release import release
from dibs.verbs.skip import skip
from dibs.verbs.update import add_note, change
from dibs_schema.answers import Acknowledgement, Asked, Idle
from dibs_schema.refusals import Forbidden, NotFound, NotWaitingForHuman, UnmetDependencies, WaitingForHuman
from dibs_schema.status import Kind, Status
from verbs.stage import (
    PORT,
    QUESTION,
    Placed,
    add,
    alter,
    ask_question,
    is_sound,
    journal,
    named,
    place,
    readings,
    refused,
    row,
    rule,
    take,
)

WORDS = "Which port?"
Verb = Callable[[Transaction, int], Asked]


def _answer(tx: Transaction, question: int) -> Asked:
    return ask_user.answer_question(tx, "user", question, PORT)


def _cancel(tx: Transaction, question: int) -> Asked:
    return ask_user.cancel_question(tx, "planner", question)


def _close(database: Database, question: int, verb: Verb = _answer) -> list[int]:
    return database.write_now(lambda tx: verb(tx, question)).feature_ids


def _refused_claim(database: Database, feature: int) -> WaitingForHuman:
    return refused(database, WaitingForHuman, lambda tx: claim.claim(tx, named("grace"), feature))


def _wait(database: Database, on: Placed, question: int) -> Acknowledgement:
    return database.write_now(lambda tx: ask_user.wait_for_question(tx, "ada", on.id, on.token, question))


def test_a_feature_that_waits_is_not_handed_out(database: Database) -> None:
    """Neither the next claim nor one by its id gets it; the refusal has the question and how it is answered."""
    first, waiting = add(database, 2)
    question = ask_question(database, waiting)
    assert take(database, named("ada")).feature.id == first
    refusal = _refused_claim(database, waiting)
    assert (refusal.details["id"], refusal.details["question_id"], WORDS in refusal.fact) == (waiting, question, True)
    assert [step.operation for step in refusal.next] == ["feature_claim_and_get", "feature_answer_human_input"]
    assert database.read_now(get_ready).features == []
    assert is_sound(database)


@pytest.mark.parametrize("verb", [_answer, _cancel])
def test_its_end_frees_every_feature_that_waits(database: Database, verb: Verb) -> None:
    """An answer and a withdrawal free the features, name them, and wake the claims that wait."""
    waiting = add(database, 2)
    question = ask_question(database, *waiting)

    def close(tx: Transaction) -> tuple[list[int], bool]:
        return verb(tx, question).feature_ids, tx.wakes

    assert database.write_now(close) == (waiting, True)
    assert readings(database.read_now(get_ready).features) == waiting
    assert is_sound(database)


def test_a_feature_may_wait_for_two_questions_and_a_dependency(database: Database) -> None:
    """It is free after the last of them; a refusal names the dependencies first."""
    needed, waiting = add(database, 2)
    first, second = ask_question(database, waiting), ask_question(database, waiting)
    database.write_now(lambda tx: add_dependency(tx, "planner", waiting, needed))
    refused(database, UnmetDependencies, lambda tx: claim.claim(tx, named("grace"), waiting))
    token = take(database, named("ada"), needed).claim.token
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", needed, token))
    _close(database, first)
    assert _refused_claim(database, waiting).details["question_id"] == second
    _close(database, second, _cancel)
    assert take(database, named("grace")).feature.id == waiting
    assert is_sound(database)


@pytest.mark.parametrize("status", [Status.PASSING, Status.NEEDS_HUMAN, Status.STUCK, Status.ARCHIVED])
def test_a_feature_in_any_state_may_wait(database: Database, status: Status) -> None:
    """It keeps its state, awaits no recheck, and is not handed out as soon as it is pending."""
    on = place(database, status)
    question = ask_question(database, on.id)
    assert (row(database, on.id)["status"], row(database, on.id)["recheck_since"]) == (status, None)
    assert is_sound(database)
    if status is Status.ARCHIVED:
        database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=False))
        _refused_claim(database, on.id)
        database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=True))
    assert _close(database, question) == [on.id]
    assert row(database, on.id)["unmet_dependencies"] == 0
    assert is_sound(database)


def test_a_question_that_names_an_unknown_feature_is_not_asked(database: Database) -> None:
    """Nothing is stored, so that the call can be made again with the right ids."""
    refused(database, NotFound, lambda tx: ask_user.ask_user(tx, "planner", [QUESTION], [999]))


def _release_by(database: Database, feature: int, token: str) -> None:
    database.write_now(lambda tx: release(tx, "ada", feature, token))


def test_each_later_claim_brings_the_answer(database: Database) -> None:
    """Also after fifty notes; the answers of two questions come with it, the latest first, and no withdrawn one."""
    rule(database, back_off=0)
    (waiting,) = add(database)
    asked = [ask_question(database, waiting) for _ in range(3)]
    for question, verb in zip(asked, (_answer, _cancel, _answer), strict=True):
        _close(database, question, verb)
    for _ in range(60):
        database.write_now(lambda tx: add_note(tx, "tess", waiting, "a note"))
    for name in ("ada", "grace"):
        claimed = take(database, named(name), waiting)
        answers = claimed.feature.question_answers
        assert [one.question_id for one in answers] == [asked[2], asked[0]]
        assert (answers[0].answers, answers[0].answered_by, answers[0].prompt) == (PORT, "user", WORDS)
        _release_by(database, waiting, claimed.claim.token)
    shown = database.read_now(lambda tx: get_by_id(tx, waiting))
    assert [one.question_id for one in shown.question_answers] == [asked[2], asked[0]]


# -- who holds it, hears of it ------------------------------------------------------------------------


def _skip(tx: Transaction, on: Placed) -> Acknowledgement:
    return skip(tx, "ada", on.id, "it waits for an answer", on.token)


def _release(tx: Transaction, on: Placed) -> Acknowledgement:
    return release(tx, "ada", on.id, on.token)


@pytest.mark.parametrize("end", [_skip, _release])
def test_its_holder_hears_of_the_question_and_may_give_it_up_at_no_cost(
    database: Database, end: Callable[[Transaction, Placed], Acknowledgement]
) -> None:
    """The next answer names the question; a pass is refused until the answer, which lets the holder go on."""
    on = place(database, Status.IN_PROGRESS)
    question = ask_question(database, on.id)
    heard = database.write_now(lambda tx: lease.heartbeat(tx, on.id, on.token))
    assert (heard.question_id, heard.blocked_by, heard.hint) == (question, [], MAY_END_FREELY)
    refusal = refused(database, WaitingForHuman, lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token))
    assert refusal.next[0].operation == "feature_clear_in_progress"
    assert [one.question_id for one in database.read_now(lambda tx: get_by_id(tx, on.id)).questions] == [question]
    alter(database, on.id, attempts=10, skips=2)
    ended = database.write_now(lambda tx: end(tx, on))
    assert (ended.status, ended.question_id) == ("pending", question)
    assert (row(database, on.id)["attempts"], row(database, on.id)["skips"]) == (9, 2)


def test_an_answer_lets_the_holder_pass(database: Database) -> None:
    """The claim was never lost."""
    on = place(database, Status.IN_PROGRESS)
    question = ask_question(database, on.id)
    _close(database, question)
    assert database.write_now(lambda tx: lease.heartbeat(tx, on.id, on.token)).question_id is None
    assert database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token)).status == "passing"


def test_a_holder_can_wait_for_a_question_that_another_asked(database: Database) -> None:
    """Its claim ends at no cost, one answer serves both features, and the same call again is answered alike."""
    on, (other,) = place(database, Status.IN_PROGRESS), add(database)
    question = ask_question(database, other)
    first = _wait(database, on, question)
    assert (first.status, first.question_id, row(database, on.id)["attempts"]) == ("pending", question, 0)
    assert _wait(database, on, question) == first
    assert _refused_claim(database, on.id).details["question_id"] == question
    assert _close(database, question) == [on.id, other]
    assert _wait(database, on, question) == first
    assert take(database, named("grace"), on.id).feature.question_answers[0].answers == PORT
    assert is_sound(database)


def test_a_holder_that_is_named_already_waits_once(database: Database) -> None:
    """The question that names a feature and its holder's own wait for it are one wait."""
    on = place(database, Status.IN_PROGRESS)
    question = ask_question(database, on.id)
    _wait(database, on, question)
    assert row(database, on.id)["unmet_dependencies"] == 1
    _close(database, question)
    assert row(database, on.id)["unmet_dependencies"] == 0
    assert is_sound(database)


def test_nobody_can_wait_for_a_question_that_is_closed_or_unknown(database: Database) -> None:
    """The claim goes on, and the refusal of a closed one leads to its answer."""
    on = place(database, Status.IN_PROGRESS)
    question = ask_question(database)
    _close(database, question)
    wait = ask_user.wait_for_question
    closed = refused(database, NotWaitingForHuman, lambda tx: wait(tx, "ada", on.id, on.token, question))
    assert [(step.operation, dict(step.arguments)) for step in closed.next] == [("ask_user", {"question_id": question})]
    refused(database, NotFound, lambda tx: wait(tx, "ada", on.id, on.token, question + 1))


# -- who answers, and who withdraws -------------------------------------------------------------------


def test_an_answer_to_a_feature_that_waits_answers_its_question(database: Database) -> None:
    """It serves every feature that waits for the question. Of two questions, one must be named."""
    one, two = add(database, 2)
    first = ask_question(database, one, two)
    answered = database.write_now(lambda tx: ask_user.answer_about(tx, "user", two, PORT))
    assert isinstance(answered, Asked)
    assert (answered.question_id, answered.feature_ids) == (first, [one, two])
    asked = [ask_question(database, one) for _ in "ab"]
    refusal = refused(database, NotWaitingForHuman, lambda tx: ask_user.answer_about(tx, "user", one, PORT))
    assert [step.arguments["question_id"] for step in refusal.next] == asked


def test_only_its_asker_or_a_planner_withdraws_a_question(database: Database) -> None:
    """A planner's withdrawal names no asker."""
    question = ask_question(database, by="ada")
    refusal = refused(database, Forbidden, lambda tx: ask_user.cancel_question(tx, "grace", question, asker="grace"))
    assert "ada asked question" in refusal.fact
    closed = database.write_now(lambda tx: ask_user.cancel_question(tx, "ada", question, asker="ada"))
    assert closed.state == "cancelled"
    refused(database, NotWaitingForHuman, lambda tx: ask_user.cancel_question(tx, "ada", question, asker="ada"))


# -- who looks, sees it -------------------------------------------------------------------------------


@pytest.mark.parametrize("category", [None, "core"])
def test_what_is_left_waits_for_a_person(database: Database, category: str | None) -> None:
    """The state, the counts and the question tell it, also within a category, and nothing of another category."""
    one, two = add(database, 2)
    question = ask_question(database, one, two)
    idle = database.read_now(lambda tx: why_idle(tx, category))
    assert (idle.state, idle.counts.to_answer, idle.counts.pending) == ("waiting_for_human", 2, 2)
    (shown,) = idle.questions
    assert (shown.question_id, shown.prompt, shown.asked_by, shown.features) == (question, WORDS, "planner", [one, two])
    add(database, category="other")
    assert isinstance(database.write_now(lambda tx: claim.claim(tx, named("ada"), category="core")), Idle)
    stats = database.read_now(lambda tx: get_stats(tx, "here"))
    assert (stats.counts.to_answer, stats.total, "pending includes to_answer" in (stats.hint or "")) == (2, 3, True)


def test_what_is_blocked_is_listed_with_the_words_of_the_question(database: Database) -> None:
    """Each row has the words of what it waits for; the first page has every open question, also one that holds nothing."""
    waiting, asking = add(database)[0], place(database, Status.NEEDS_HUMAN).id
    questions = [ask_question(database, waiting), ask_question(database)]
    page = database.read_now(get_blocked)
    assert {one.id: one.why for one in page.features} == {
        waiting: f"question {questions[0]}: {WORDS}",
        asking: "Please decide.",
    }
    assert [(one.question_id, one.prompt, one.features) for one in page.questions] == [
        (questions[0], WORDS, [waiting]),
        (questions[1], WORDS, []),
    ]
    assert database.read_now(lambda tx: get_blocked(tx, cursor="0")).questions == []
    full = database.read_now(lambda tx: search(tx, status="needs_human", detail="full")).features
    assert full[0].human_request is not None
    assert full[0].human_request["prompt"] == "Please decide."
    assert [one.feature_ids for one in database.read_now(open_questions)] == [[waiting], []]


def test_followers_see_which_features_are_held_up_and_freed(database: Database) -> None:
    """The events of the question list the features; each feature has its own events, which fit its status."""
    waiting, archived = add(database)[0], place(database, Status.ARCHIVED).id
    before = len(journal(database))
    question = ask_question(database, waiting, archived)
    _close(database, question)
    both, one = [waiting, archived], {"question": question}
    told = [(event["kind"], event["feature_id"], event["detail"]) for event in journal(database)[before:]]
    assert told == [
        (Kind.ASK, None, {**one, "features": both}),
        (Kind.UNMET, waiting, one),
        (Kind.UNMET, archived, one),
        (Kind.MET, waiting, one),
        (Kind.MET, archived, one),
        (Kind.ANSWER, None, {**one, "answers": PORT, "features": both}),
    ]
    assert is_sound(database)


def test_a_claim_whose_reason_has_just_ended_may_be_repeated(database: Database) -> None:
    """On PostgreSQL a question may close between the guard of a claim and the look for its reason."""
    (waiting,) = add(database)
    alter(database, waiting, unmet_dependencies=1)
    refusal = refused(database, UnmetDependencies, lambda tx: claim.claim(tx, named("ada"), waiting))
    assert refusal.details["unmet"] == []
    assert "a moment ago" in refusal.message


def test_an_audit_counts_the_open_questions(database: Database) -> None:
    """A counter that leaves one out is found."""
    (waiting,) = add(database)
    ask_question(database, waiting)
    alter(database, waiting, unmet_dependencies=0)
    assert not is_sound(database)
