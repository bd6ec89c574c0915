"""Every refusal and every answer without work names the operations that come next, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dibs.database import Database
from dibs.database.engine import NotApplied
from dibs.database.transaction import Transaction
from dibs.rules.idempotency import Request, once
from dibs.rules.verification import Verified, order_of
from dibs.session.issued_tokens import IssuedTokens
from dibs.verbs import (
    ask_person,
    ask_user,
    claim,
    create,
    depend,
    lease,
    outcome,
    project_settings,
    review,
    skip,
    update,
)
from dibs.verbs.move import move_before
from dibs.verbs.verify import take_for_regression
from dibs_schema.answers import Created, Guidance, Idle, Verification
from dibs_schema.inputs import HumanField, Question
from dibs_schema.next_step import TOOLS, Step, word
from dibs_schema.operations import BY_TOOL, offered, read_arguments, steps_for
from dibs_schema.refusals import Forbidden, Unavailable, all_codes
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status
from verbs.stage import NEVER_ISSUED, REQUEST, add, alter, named, nameless, new, place, refused, rule, take
from verbs.stage import depend as depends

Verb = Callable[[Transaction], object]
Case = Callable[[Database], tuple[Verb, list[Step]]]
"""Prepares a backlog, and returns the verb that must be refused and the steps that the refusal must name."""

CLAIM, PASS, FAIL, UPDATE = (
    "feature_claim_and_get",
    "feature_mark_passing",
    "feature_mark_failing",
    "feature_update",
)
NEXT, FIND = Step(CLAIM), Step("feature_search")
GRACE = named("grace")

VALUES: dict[str, Any] = {
    "agent": "ada",
    "answers": {"colour": "red"},
    "dependency_id": 2,
    "evidence": "12 tests pass",
    "feature_id": 1,
    "features": [new().model_dump()],
    "questions": [{"question": "Which colour?", "header": "Colour", "options": ["red", "blue"]}],
    "reason": "broken",
}
"""A value for each argument that only the caller knows."""


def assert_can_be_called(step: Step) -> None:
    """Check that the operation exists for its caller's role and that the given arguments are valid and complete."""
    if step.operation is None:
        assert not step.arguments
        return
    operation = BY_TOOL[step.operation]
    assert step.by is None or step.by in operation.roles
    read_arguments(operation, {**step.arguments, **{name: VALUES[name] for name in step.needs}})


def without_purpose(steps: Sequence[Step]) -> list[Step]:
    """Return the steps without their purposes, which are not compared."""
    return [replace(step, purpose="", needs=tuple(step.needs)) for step in steps]


def found(action: Callable[[Transaction, int], object], *steps: Step) -> Callable[[Status], Case]:
    """Return a case for a feature in a given status. Steps that need a feature_id and have none get its id."""

    def within(status: Status) -> Case:
        def arrange(database: Database) -> tuple[Verb, list[Step]]:
            feature = place(database, status).id
            return lambda tx: action(tx, feature), [_about(step, feature) for step in steps]

        return arrange

    return within


def _about(step: Step, feature: int) -> Step:
    """Return the step with the feature's id in place of THIS."""
    return replace(step, arguments={k: feature if v is THIS else v for k, v in step.arguments.items()})


THIS: Any = ...
RETRY = Step(UPDATE, {"feature_id": THIS, "retry": True}, by=Role.PLANNER)
RESTORE = Step(UPDATE, {"feature_id": THIS, "archived": False}, by=Role.PLANNER)
ANSWER = Step("feature_answer_human_input", {"feature_id": THIS}, needs=("answers",), by=Role.PLANNER)
FAIL_IT = Step(FAIL, {"feature_id": THIS}, needs=("reason",))
PROVE = Step(None, needs=("claim_token",))
RESUME_IT = Step(CLAIM, {"feature_id": THIS, "resume": True}, needs=("agent",))

claiming = lambda tx, feature: claim.claim(tx, GRACE, feature)  # noqa: E731 - one of many actions
passing = lambda tx, feature: outcome.mark_passing(tx, "ada", feature)  # noqa: E731
beating = lambda tx, feature: lease.heartbeat(tx, feature, NEVER_ISSUED)  # noqa: E731


def _nowhere(database: Database) -> tuple[Verb, list[Step]]:
    return lambda tx: claim.claim(tx, GRACE, 99), [FIND]


def _depends_on_nothing(database: Database) -> tuple[Verb, list[Step]]:
    return lambda tx: create.create(tx, "ada", new(dependencies=[99])), [FIND]


def _no_question(database: Database) -> tuple[Verb, list[Step]]:
    return lambda tx: ask_user.read_question(tx, 9), [Step("ask_user", needs=("questions",))]


def _closed_question(database: Database) -> tuple[Verb, list[Step]]:
    asked = [Question.model_validate(one) for one in VALUES["questions"]]
    number = database.write_now(lambda tx: ask_user.ask_user(tx, "ada", asked)).question_id
    database.write_now(lambda tx: ask_user.cancel_question(tx, "user", number))
    return (
        lambda tx: ask_user.answer_question(tx, "user", number, {"Colour": "red"}),
        [Step("ask_user", {"question_id": number})],
    )


def _holding(database: Database) -> tuple[Verb, list[Step]]:
    held, _ = add(database, 2)
    take(database, GRACE, held)
    arguments = {"feature_id": held, "resume": True, "agent": "grace"}
    return lambda tx: claim.claim(tx, GRACE), [Step(CLAIM, arguments)]


def _holding_enough(database: Database) -> tuple[Verb, list[Step]]:
    one, two, _ = add(database, 3)
    rule(database, max_claims_per_connection=2)
    for feature in (one, two):
        take(database, nameless("session"), feature)
    given = {"feature_id": one}
    return (
        lambda tx: claim.claim(tx, nameless("session")),
        [Step(PASS, given), Step("feature_clear_in_progress", given)],
    )


def _resuming_without_a_name(database: Database) -> tuple[Verb, list[Step]]:
    return (
        lambda tx: claim.claim(tx, nameless("session"), resume=True),
        [Step(CLAIM, {"resume": True}, needs=("agent",))],
    )


def _backing_off(database: Database) -> tuple[Verb, list[Step]]:
    (feature,) = add(database)
    alter(database, feature, not_before=database.write_now(lambda tx: tx.now) + 40)
    return lambda tx: claim.claim(tx, GRACE, feature), [NEXT, _about(RETRY, feature)]


def _files_in_use(database: Database) -> tuple[Verb, list[Step]]:
    one, two = add(database, 2, paths=["src/**"])
    take(database, named("ada"), one)
    return lambda tx: claim.claim(tx, GRACE, two), [NEXT]


def _lost(database: Database) -> tuple[Verb, list[Step]]:
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    database.write_now(lambda tx: lease.release_all(tx, "a test"))
    return lambda tx: outcome.mark_passing(tx, "ada", feature, token), [NEXT]


def _changed_meanwhile(database: Database) -> tuple[Verb, list[Step]]:
    on = place(database, Status.IN_PROGRESS)
    assert on.token is not None
    rule(database, verify_command="true")
    order = database.read_now(lambda tx: order_of(tx, on.id, on.token or ""))
    assert order is not None
    verified = Verified(order, Verification(command="true", exit_code=0, seconds=1))
    database.write_now(lambda tx: update.change(tx, "planner", on.id, {"description": "something else"}))
    return (
        lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, verified=verified),
        [Step("feature_get_by_id", {"feature_id": on.id}), Step(PASS, {"feature_id": on.id})],
    )


def _claimed_twice(database: Database) -> tuple[Verb, list[Step]]:
    tokens = IssuedTokens()
    for token in ("one", "two"):
        tokens.remember(1, token, "ada", "feature_claim_and_get")
    return tokens.choose(1, None, Kind.PASS), [PROVE]


def _waiting(action: Callable[[Transaction, int, str], object]) -> Case:
    def arrange(database: Database) -> tuple[Verb, list[Step]]:
        needed, waiting = add(database, 2)
        token = take(database, GRACE, waiting).claim.token
        depends(database, waiting, needed)
        return lambda tx: action(tx, waiting, token), [Step("feature_clear_in_progress", {"feature_id": waiting})]

    return arrange


def _waiting_unclaimed(database: Database) -> tuple[Verb, list[Step]]:
    needed, waiting = add(database, 2)
    depends(database, waiting, needed)
    return lambda tx: claim.claim(tx, GRACE, waiting), [NEXT]


def _cycle(database: Database) -> tuple[Verb, list[Step]]:
    one, two, three = add(database, 3)
    depends(database, two, one)
    depends(database, three, two)
    return (
        lambda tx: depend.add_dependency(tx, "ada", one, three),
        [Step("feature_remove_dependency", {"feature_id": three, "dependency_id": two})],
    )


def _on_itself(database: Database) -> tuple[Verb, list[Step]]:
    (one,) = add(database)
    return (
        lambda tx: depend.add_dependency(tx, "ada", one, one),
        [Step("feature_add_dependency", {"feature_id": one}, needs=("dependency_id",))],
    )


def _batch(*indices: int) -> Case:
    def arrange(_: Database) -> tuple[Verb, list[Step]]:
        batch = [new(depends_on_indices=[index]) for index in indices]
        return (
            lambda tx: create.create_bulk(tx, "ada", batch),
            [Step("feature_create_bulk", needs=("features",))],
        )

    return arrange


def _too_many(database: Database) -> tuple[Verb, list[Step]]:
    feature, *others = add(database, 4)
    rule(database, max_dependencies=2)
    return lambda tx: depend.set_dependencies(tx, "ada", feature, others), []


def _without_evidence(required: str, *more: Step) -> Case:
    def arrange(database: Database) -> tuple[Verb, list[Step]]:
        rule(database, require_evidence=required)
        (feature,) = add(database)
        token = take(database, GRACE, feature).claim.token
        steps = [Step(PASS, {"feature_id": THIS}, needs=("evidence",)), *more]
        return (
            lambda tx: outcome.mark_passing(tx, "ada", feature, token),
            [_about(step, feature) for step in steps],
        )

    return arrange


def _used_key(database: Database) -> tuple[Verb, list[Step]]:
    def ask(name: str) -> Verb:
        request = Request.of("key", "feature_create", {"name": name})
        return lambda tx: once(tx, request, Created, lambda: create.create(tx, "ada", new(name)))

    database.write_now(ask("one"))
    return ask("another"), []


def _nothing_asked(database: Database) -> tuple[Verb, list[Step]]:
    (feature,) = add(database)
    return (
        lambda tx: ask_person.answer_feature(tx, "user", feature, {"colour": "red"}),
        [Step("feature_search", {"status": "needs_human"})],
    )


def _wrong(verb: Verb) -> Case:
    return lambda _: (verb, [])


CASES: list[tuple[str, str, Case]] = [
    ("not_found", "a feature", _nowhere),
    ("not_found", "a dependency", _depends_on_nothing),
    ("not_found", "a question", _no_question),
    ("not_waiting_for_human", "a feature", _nothing_asked),
    ("not_waiting_for_human", "a question", _closed_question),
    ("already_claimed", "claim", found(claiming, NEXT)(Status.IN_PROGRESS)),
    (
        "already_claimed",
        "archive",
        found(
            lambda tx, feature: update.change(tx, "ada", feature, {}, archived=True),
            Step("feature_clear_in_progress", {"feature_id": THIS, "force": True}),
        )(Status.IN_PROGRESS),
    ),
    ("already_holding", "claim", _holding),
    ("already_passing", "claim", found(claiming, NEXT, FAIL_IT)(Status.PASSING)),
    (
        "already_passing",
        "heartbeat",
        found(lambda tx, one: lease.heartbeat(tx, one, None), NEXT)(Status.PASSING),
    ),
    ("too_many_claims", "claim", _holding_enough),
    ("not_claimed", "pass", found(passing, Step(CLAIM, {"feature_id": THIS}))(Status.PENDING)),
    ("not_ready", "back-off", _backing_off),
    ("not_ready", "files", _files_in_use),
    ("claim_lost", "a claim that ended", _lost),
    ("claim_lost", "a token of nobody", found(beating, NEXT)(Status.IN_PROGRESS)),
    ("not_verified", "a changed feature", _changed_meanwhile),
    ("token_required", "pass", found(passing, PROVE, RESUME_IT, NEXT)(Status.IN_PROGRESS)),
    ("token_required", "two claims", _claimed_twice),
    ("unmet_dependencies", "claim", _waiting_unclaimed),
    (
        "unmet_dependencies",
        "pass",
        _waiting(lambda tx, one, token: outcome.mark_passing(tx, "ada", one, token)),
    ),
    ("waiting_for_human", "claim", found(claiming, ANSWER)(Status.NEEDS_HUMAN)),
    ("waiting_for_human", "pass", found(passing, ANSWER)(Status.NEEDS_HUMAN)),
    ("stuck", "claim", found(claiming, RETRY)(Status.STUCK)),
    ("stuck", "pass", found(passing, RETRY)(Status.STUCK)),
    ("archived", "claim", found(claiming, RESTORE)(Status.ARCHIVED)),
    ("archived", "skip", found(lambda tx, one: skip.skip(tx, "ada", one, "later"), RESTORE)(Status.ARCHIVED)),
    ("would_cycle", "edge", _cycle),
    ("would_cycle", "itself", _on_itself),
    ("would_cycle", "batch", _batch(1, 0)),
    ("would_cycle", "itself in a batch", _batch(0)),
    ("too_many_dependencies", "set", _too_many),
    ("invalid_input", "resume", _resuming_without_a_name),
    ("invalid_input", "summary", _without_evidence("summary")),
    ("invalid_input", "command", _without_evidence("command", FAIL_IT)),
    (
        "invalid_input",
        "an index",
        _wrong(lambda tx: create.create_bulk(tx, "ada", [new(depends_on_indices=[7])])),
    ),
    (
        "invalid_input",
        "a setting",
        _wrong(lambda tx: project_settings.change_setting(tx, "ada", "colour", 1)),
    ),
    (
        "invalid_input",
        "two fields of one id",
        _wrong(lambda _: ask_person.new_request("?", [HumanField(id="a", label="A")] * 2)),
    ),
    (
        "invalid_input",
        "an answer",
        found(lambda tx, one: ask_person.checked_against(REQUEST, {"size": "L"}))(Status.PENDING),
    ),
    ("invalid_input", "no change", found(lambda tx, one: update.change(tx, "ada", one, {}))(Status.PENDING)),
    (
        "invalid_input",
        "retry",
        found(lambda tx, one: update.change(tx, "ada", one, {}, retry=True))(Status.PENDING),
    ),
    ("invalid_input", "move", found(lambda tx, one: move_before(tx, "ada", one, one))(Status.PENDING)),
    (
        "invalid_input",
        "approve",
        found(lambda tx, one: review.approve(tx, "ada", one))(Status.PASSING),
    ),
    (
        "invalid_input",
        "return",
        found(lambda tx, one: review.return_to_queue(tx, "ada", one, "not yet"))(Status.PENDING),
    ),
    (
        "invalid_input",
        "reject",
        found(lambda tx, one: review.reject(tx, "ada", one, "no"))(Status.STUCK),
    ),
    ("request_reused", "create", _used_key),
]


@pytest.mark.parametrize(
    ("code", "arrange"), [(case[0], case[2]) for case in CASES], ids=[" ".join(case[:2]) for case in CASES]
)
def test_a_refusal_names_the_next_steps(database: Database, code: str, arrange: Case) -> None:
    """A refused verb changes nothing, states a fact without operations, and names calls that can be made."""
    verb, steps = arrange(database)
    refusal = refused(database, all_codes()[code], verb)
    assert without_purpose(refusal.next) == steps
    for step in refusal.next:
        assert_can_be_called(step)
    assert not OPERATION.search(refusal.fact), refusal.fact
    assert refusal.message == f"{refusal.fact} {word(refusal.next)}".rstrip()
    for role in Role:
        assert_is_of_role(role, refusal.next)


def assert_is_of_role(role: Role, steps: Sequence[Step]) -> None:
    """Check that the steps, as they are said to a role, name no operation or argument that it does not have."""
    said = word(steps_for(role, steps))
    assert set(OPERATION.findall(said)) <= {one.tool for one in offered(role)}, f"{role}: {said}"
    assert role.plans or "force" not in said


OPERATION = re.compile(rf"\b(?:{'|'.join(BY_TOOL)})\b")


def test_every_code_of_the_verbs_is_refused_here() -> None:
    """Of all codes, only those of roles and of databases are raised outside the verbs."""
    elsewhere = {code for code, kind in all_codes().items() if issubclass(kind, Unavailable | Forbidden)}
    assert {case[0] for case in CASES} == all_codes().keys() - elsewhere


def test_features_that_others_are_claiming_are_asked_for_again() -> None:
    """The one transient refusal of a verb asks for the same call again."""
    refusal = NotApplied("Other agents are claiming every ready feature.", next=[Step(None, purpose="in a moment")])
    assert refusal.message.endswith("feature. Call again in a moment.")


# -- answers ------------------------------------------------------------------------------------------


def _idle(database: Database, category: str | None = None) -> Idle:
    answer = database.write_now(lambda tx: claim.claim(tx, named("idle"), category=category))
    assert isinstance(answer, Idle)
    return answer


WAIT = Step(CLAIM, {"wait_seconds": 45})
BLOCKED = Step("feature_get_blocked")
ANY_CATEGORY = Step(CLAIM)
TEST = [Step("feature_get_for_regression", by=Role.TESTER), Step(PASS, needs=("feature_id",), by=Role.TESTER)]


def _on_files(database: Database) -> None:
    one, _ = add(database, 2, paths=["src/**"])
    take(database, GRACE, one)


def _unconfirmed(database: Database) -> None:
    rule(database, verifier="other")
    place(database, Status.PASSING)


def _to_recheck(database: Database) -> None:
    rule(database, rechecks="required")
    alter(database, place(database, Status.PASSING).id, recheck_since=1.0)


def _behind_a_stuck(database: Database) -> None:
    stuck = place(database, Status.STUCK, category="elsewhere").id
    (waiting,) = add(database)
    depends(database, waiting, stuck)


IDLE: list[tuple[str, str | None, Callable[[Database], object], list[Step]]] = [
    ("complete", None, lambda database: place(database, Status.PASSING), []),
    (
        "empty",
        None,
        lambda database: None,
        [Step("feature_create_bulk", needs=("features",), by=Role.PLANNER)],
    ),
    ("empty", "core", lambda database: place(database, Status.PASSING), [ANY_CATEGORY]),
    ("waiting_for_claims", None, lambda database: place(database, Status.IN_PROGRESS), [WAIT]),
    (
        "waiting_for_claims",
        "core",
        lambda database: place(database, Status.IN_PROGRESS),
        [Step(CLAIM, {"category": "core", "wait_seconds": 45})],
    ),
    ("waiting_for_claims", None, _on_files, [WAIT, BLOCKED]),
    ("waiting_for_back_off", None, _backing_off, [WAIT]),
    ("waiting_for_human", None, lambda database: place(database, Status.NEEDS_HUMAN), []),
    ("stuck", None, lambda database: place(database, Status.STUCK), [replace(BLOCKED, by=Role.PLANNER)]),
    ("waiting_for_dependencies", "core", _behind_a_stuck, [ANY_CATEGORY]),
    ("waiting_for_confirmation", None, _unconfirmed, TEST),
    ("waiting_for_recheck", None, _to_recheck, TEST),
]


@pytest.mark.parametrize(("state", "category", "arrange", "steps"), IDLE)
def test_an_answer_without_work_names_the_next_steps(
    database: Database,
    state: str,
    category: str | None,
    arrange: Callable[[Database], object],
    steps: list[Step],
) -> None:
    """Each reason why there is nothing to claim comes with the calls that lead on."""
    arrange(database)
    answer = _idle(database, category)
    assert (answer.state, without_purpose(answer.next)) == (state, steps)
    for step in answer.next:
        assert_can_be_called(step)
    assert not OPERATION.search(answer.message)


def test_steps_are_sent_as_the_end_of_the_text(database: Database) -> None:
    """The answer has no field for the steps; each face appends them to the text in its own words, once."""

    class Shell:
        def call(self, step: Step) -> str:
            return f"`dibs {step.operation}`"

    answer = _idle(database)
    worded = answer.worded(Shell(), "Run")
    assert worded.message == "The backlog is empty. A planner runs `dibs feature_create_bulk` to fill it."
    assert worded.worded() == worded
    assert answer.wire() == answer.worded(TOOLS).wire()
    assert "next" not in answer.wire()
    assert "next" not in Idle.model_json_schema()["properties"]


def test_other_answers_name_the_next_steps(database: Database) -> None:
    """A question that is open, a pass to be confirmed and a feature that was put aside each name the next step."""
    asked = [Question.model_validate(one) for one in VALUES["questions"]]
    question = database.write_now(lambda tx: ask_user.ask_user(tx, "ada", asked))
    read = Step("ask_user", {"question_id": question.question_id})
    (feature,) = add(database)
    token = take(database, GRACE, feature).claim.token
    aside = database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", feature, token, REQUEST))
    rule(database, verifier="other")
    (other,) = add(database)
    token = take(database, GRACE, other).claim.token
    passed = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", other, token))
    answers: list[tuple[Guidance, list[Step]]] = [
        (question, [read]),
        (database.read_now(lambda tx: ask_user.read_question(tx, question.question_id)), [read]),
        (aside, [NEXT]),
        (passed, [Step("feature_get_for_regression", by=Role.TESTER)]),
        (database.write_now(lambda tx: take_for_regression(tx, 1, "ada")), []),
    ]
    for answer, steps in answers:
        assert without_purpose(answer.next) == steps
        for step in answer.next:
            assert_can_be_called(step)
