"""Random calls on a real backlog agree with the model, and leave every counter and state right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs.settings import Settings
from dibs.verbs import ask_person, ask_user, claim, create, lease, move, outcome, project_settings, review, skip, update
from dibs.verbs.continue_claim import regain
from dibs.verbs.depend import set_dependencies
from dibs.verbs.release import release
from dibs.verbs.report import report_and_claim
from dibs_proof.history.model import Refused
from dibs_schema.answers import Claimed, Idle
from dibs_schema.refusals import Refusal
from dibs_schema.status import TRANSITIONS, Kind, Status
from properties.model import MOST_ATTEMPTS, MOST_FAILURES, MOST_SAME_FAILURES, MOST_SKIPS, Model
from races.backlog import LONG, times
from verbs import stage

AGENTS = st.sampled_from(["ada", "grace", "alan"])
FEATURES = st.integers(1, 5)
"""Few agents and few features, so that they compete."""

PATHS = st.sampled_from(
    [[], ["src/a/**"], ["src/**/*.py"], ["docs/*.md", "src/b"], ["src/a/x.ts"], ["README.md", "src"]]
)
"""The paths of features: some pairs overlap, some do not, and some features have none."""
VERIFIERS = st.sampled_from(["anyone", "other"])
RECHECKS = st.sampled_from(["optional", "required"])

TOKENS = st.sampled_from(["live", "live", "live", "ended", "none", "foreign"])
"""The kinds of token that a call can have."""

REASONS = st.sampled_from(["it broke at line 7 of src/a.py", "It broke at line 12 of src/b.py", "no idea"])
"""The first two differ only in what does not count."""

Verb = Callable[[Transaction, str, int, str | None], Any]

BY_TOKEN: dict[Kind, Verb] = {
    Kind.HEARTBEAT: lambda tx, _, feature, token: lease.heartbeat(tx, feature, token, "half done"),
    Kind.PASS: outcome.mark_passing,
    Kind.SKIP: lambda tx, by, feature, token: skip.skip(tx, by, feature, "later", token),
    Kind.RELEASE: release,
    Kind.ASK: lambda tx, by, feature, token: ask_person.request_human_input(tx, by, feature, token, stage.REQUEST),
}
KINDS = [*BY_TOKEN, Kind.FAIL]
ALLOWED = {transition.kind: transition for transition in TRANSITIONS}


class Backlog(RuleBasedStateMachine):
    """A backlog and its model, changed by the same calls."""

    db: ClassVar[str]
    projects: ClassVar[Iterator[int]]

    database: Database
    model: Model

    @initialize(
        order=st.sampled_from(["priority", "critical_path"]),
        verifier=VERIFIERS,
        rechecks=RECHECKS,
        paths=st.lists(PATHS, min_size=2, max_size=4),
    )
    def begin(self, order: str, verifier: str, rechecks: str, paths: list[list[str]]) -> None:
        """Make a project for this run, with limits that are soon reached."""
        self.database = open_database(Settings(db=self.db, project=f"run {next(self.projects)}"))
        limits = {"max_failures": MOST_FAILURES, "max_attempts": MOST_ATTEMPTS, "max_skips": MOST_SKIPS}
        limits["max_same_failures"] = MOST_SAME_FAILURES
        limits["back_off"] = 600  # the model has no time: on a busy machine a shorter one would end during a run
        stage.rule(self.database, order=order, verifier=verifier, rechecks=rechecks, **limits)
        self.model = Model(order, verifier, rechecks)
        for files in paths:
            self.create(needs=set(), paths=files)
        self.other_events = len(stage.journal(self.database)) - self.model.events

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close(patience=5)

    def both(self, expected: Callable[[], Any], verb: Callable[[Transaction], Any]) -> tuple[Any, Any]:
        """Make a call in the model and in the backlog: both make it, or both refuse it with the same code."""
        try:
            answer = self.database.write_now(verb)
        except Refusal as refusal:
            with pytest.raises(Refused, match=f"^{refusal.code}$"):
                expected()
            return None, None
        return expected(), answer

    def there(self, feature: int, *preferred: Status) -> int:
        """Return a feature that exists, picked by a number, in the preferred status if one is in it."""
        ids = [number for number, one in self.model.features.items() if one.status in preferred]
        return (ids or list(self.model.features))[(feature - 1) % len(ids or self.model.features)]

    def token(self, feature: int, which: str) -> str | None:
        one = self.model[feature]
        return {"live": one.token, "ended": one.ended[0], "none": None, "foreign": stage.NEVER_ISSUED}[which]

    # -- calls ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.features) < 5)
    @rule(needs=st.sets(FEATURES, max_size=3), paths=PATHS)
    def create(self, needs: set[int], paths: list[str]) -> None:
        chosen = {self.there(one) for one in needs} if self.model.features else set()
        new = stage.new(dependencies=sorted(chosen), paths=paths)
        self.both(lambda: self.model.create(chosen, paths), lambda tx: create.create(tx, "planner", new))

    @rule(agent=AGENTS, resume=st.booleans())
    def claim_next(self, agent: str, resume: bool) -> None:
        self.claim(agent, resume=resume)

    @rule(agent=AGENTS, feature=FEATURES, pending=st.booleans())
    def claim_this(self, agent: str, feature: int, pending: bool) -> None:
        self.claim(agent, self.there(feature, *([Status.PENDING] if pending else [])))

    def claim(self, agent: str, asked: int | None = None, *, resume: bool = False) -> None:
        holder = stage.named(agent, session=f"session of {agent}")
        given: list[str | None] = []

        def take(tx: Transaction) -> Claimed | Idle:
            answer = claim.claim(tx, holder, asked, resume=resume)
            given.append(answer.claim.token if isinstance(answer, Claimed) else None)
            return answer

        def expected() -> int | None:
            token = given[0] if given else None
            return self.model.resume(agent, token) if resume else self.model.claim(agent, asked, token)

        state = self.model.idle_state()
        feature, answer = self.both(expected, take)
        if isinstance(answer, Claimed):
            assert answer.feature.id == feature
        elif isinstance(answer, Idle):
            assert (feature, answer.state) == (None, state)

    @rule(feature=FEATURES, which=TOKENS, kind=st.sampled_from(KINDS), held=st.booleans(), by=AGENTS, reason=REASONS)
    def transition(
        self, feature: int, which: str, kind: Kind, held: bool, by: str = "ada", reason: str = "broken"
    ) -> None:
        feature = self.there(feature, *([Status.IN_PROGRESS] if held else []))
        token = self.token(feature, which)

        def make(tx: Transaction) -> object:
            if kind is Kind.FAIL:
                return outcome.mark_failing(tx, by, feature, reason, token)
            return BY_TOKEN[kind](tx, by, feature, token)

        self.both(lambda: self.model.transition(feature, token, kind, by, reason), make)

    @precondition(lambda self: self.model.any(Status.PASSING))
    @rule(feature=FEATURES, by=AGENTS)
    def verify(self, feature: int, by: str) -> None:
        """Test a passing feature again, which confirms it if another agent passed it."""
        self.transition(self.there(feature, Status.PASSING), "none", Kind.PASS, held=False, by=by)

    @rule(agent=AGENTS, feature=FEATURES, passing=st.booleans())
    def report_and_claim(self, agent: str, feature: int, passing: bool) -> None:
        """Report that a feature is broken, and claim it in the same call."""
        feature = self.there(feature, *([Status.PASSING] if passing else []))
        holder = stage.named(agent, session=f"session of {agent}")
        given: list[str | None] = []

        def report(tx: Transaction) -> None:
            given.append(report_and_claim(tx, agent, holder, feature, "broken").token)

        self.both(lambda: self.model.report_and_claim(agent, feature, given[0] if given else None), report)

    @precondition(lambda self: self.model.any(Status.PASSING))
    @rule(feature=FEATURES)
    def approve(self, feature: int) -> None:
        feature = self.there(feature, Status.PASSING)
        self.both(
            lambda: self.model.approve(feature, "p"),
            lambda tx: review.approve(tx, "p", feature),
        )

    @rule(feature=FEATURES, passing=st.booleans(), rejected=st.booleans())
    def undo_pass(self, feature: int, passing: bool, rejected: bool) -> None:
        """Return or reject a feature, as a person does."""
        feature = self.there(feature, *([Status.PASSING] if passing else []))
        verb = review.reject if rejected else review.return_to_queue
        self.both(
            lambda: self.model.undo_pass(feature, Status.STUCK if rejected else Status.PENDING),
            lambda tx: verb(tx, "p", feature, "not yet"),
        )

    @rule(
        change=st.one_of(st.tuples(st.just("verifier"), VERIFIERS), st.tuples(st.just("rechecks"), RECHECKS)),
    )
    def change_rule(self, change: tuple[str, str]) -> None:
        self.both(
            lambda: self.model.rule(*change),
            lambda tx: project_settings.change_setting(tx, "p", *change),
        )

    @rule(feature=FEATURES, paths=PATHS)
    def change_files(self, feature: int, paths: list[str]) -> None:
        feature = self.there(feature)
        self.both(
            lambda: self.model.change_files(feature, paths),
            lambda tx: update.change(tx, "p", feature, {"paths": paths}),
        )

    @rule(feature=FEATURES, before=FEATURES)
    def move_before(self, feature: int, before: int) -> None:
        feature, before = self.there(feature), self.there(before)
        self.both(
            lambda: self.model.move_before(feature, before),
            lambda tx: move.move_before(tx, "p", feature, before),
        )

    @rule(feature=FEATURES, end=st.sampled_from(["front", "end"]))
    def move_to(self, feature: int, end: move.End) -> None:
        feature = self.there(feature)
        self.both(lambda: self.model.move_to(feature, end), lambda tx: move.move_to(tx, "p", feature, end))

    @rule(agent=AGENTS)
    def work(self, agent: str) -> None:
        """Claim the next feature, or resume the claimed one, and pass it."""
        self.claim(agent, resume=True)
        for feature in self.model.held_by(agent):
            self.transition(feature, "live", Kind.PASS, held=False)

    @rule(agent=AGENTS, reason=REASONS)
    def fail(self, agent: str, reason: str) -> None:
        """Claim the next feature, or resume the claimed one, and fail it."""
        self.claim(agent, resume=True)
        for feature in self.model.held_by(agent):
            self.transition(feature, "live", Kind.FAIL, held=False, reason=reason)

    @rule(feature=FEATURES, which=st.sampled_from(["ended", "none"]))
    def again(self, feature: int, which: str) -> None:
        """Repeat the call that ended the last claim of a feature, or its counterpart without a token."""
        feature = self.there(feature)
        kind = self.model[feature].ended[1]
        if kind in KINDS:
            self.transition(feature, which, kind, held=False)

    @rule(feature=FEATURES)
    def force(self, feature: int) -> None:
        feature = self.there(feature)
        self.both(lambda: self.model.force(feature), lambda tx: release(tx, "planner", feature, None, force=True))

    @rule(feature=FEATURES)
    def lease_runs_out(self, feature: int) -> None:
        feature = self.there(feature, Status.IN_PROGRESS)
        if self.model[feature].status is Status.IN_PROGRESS:
            stage.expire(self.database, feature)
        self.both(lambda: self.model.expire(feature), lease.reap)

    @rule()
    def connections_end(self) -> None:
        for agent in ("ada", "grace", "alan"):
            ended = self.database.write_now(partial(lease.release_session, session=f"session of {agent}"))
            assert ended == self.model.held_by(agent)
            for feature in ended:
                self.model.disconnect(feature)

    @rule(feature=FEATURES, by=AGENTS, which=TOKENS)
    def regain(self, feature: int, by: str, which: str) -> None:
        feature = self.there(feature, Status.PENDING)
        token = self.token(feature, which) or stage.NEVER_ISSUED
        holder = stage.named(by, session=f"session of {self.model[feature].last_holder}")
        regained = self.database.write_now(lambda tx: regain(tx, holder, feature, token))
        expected = self.model[feature].last_holder if self.model.regain(feature, token) else None
        assert regained == expected

    @rule(feature=FEATURES)
    def back_off_ends(self, feature: int) -> None:
        feature = self.there(feature)
        stage.alter(self.database, feature, not_before=None)
        self.model.back_off_ends(feature)

    @precondition(lambda self: self.model.any(Status.NEEDS_HUMAN))
    @rule(feature=FEATURES, cancel=st.booleans())
    def answer(self, feature: int, cancel: bool) -> None:
        feature = self.there(feature, Status.NEEDS_HUMAN)
        self.both(
            lambda: self.model.answer(feature),
            lambda tx: (
                ask_person.cancel_request(tx, "user", feature)
                if cancel
                else ask_person.answer_feature(tx, "user", feature, stage.REPLY)
            ),
        )

    @rule(features=st.sets(FEATURES, max_size=2))
    def ask_user(self, features: set[int]) -> None:
        """Ask the user a question for which features wait."""
        waiting = {self.there(one) for one in features}
        number, answer = self.both(
            lambda: self.model.ask(waiting),
            lambda tx: ask_user.ask_user(tx, "p", [stage.QUESTION], sorted(waiting)),
        )
        assert answer.question_id == number

    @precondition(lambda self: self.model.asked)
    @rule(feature=FEATURES, which=TOKENS, question=st.integers(1, 20), by=AGENTS)
    def wait_for_question(self, feature: int, which: str, question: int, by: str) -> None:
        """Let a claimed feature wait for a question, which may be closed."""
        feature, number = self.there(feature, Status.IN_PROGRESS), self.question(question)
        token = self.token(feature, which)
        self.both(
            lambda: self.model.wait_for(feature, token, number),
            lambda tx: ask_user.wait_for_question(tx, by, feature, token, number),
        )

    @precondition(lambda self: self.model.asked)
    @rule(question=st.integers(1, 20), cancel=st.booleans())
    def close_question(self, question: int, cancel: bool) -> None:
        """Answer or withdraw a question, which may be closed."""
        number = self.question(question)
        waiting = sorted(self.model.questions.get(number, ()))
        _, answer = self.both(
            lambda: self.model.close(number),
            lambda tx: (
                ask_user.cancel_question(tx, "user", number)
                if cancel
                else ask_user.answer_question(tx, "user", number, stage.PORT)
            ),
        )
        assert answer is None or answer.feature_ids == waiting

    def question(self, picked: int) -> int:
        """Return a question that was asked, picked by a number, an open one if there is any."""
        open_ones = list(self.model.questions)
        return open_ones[picked % len(open_ones)] if open_ones and picked > 1 else picked % self.model.asked + 1

    @rule(feature=FEATURES, status=st.sampled_from([Status.STUCK, Status.PENDING]))
    def retry(self, feature: int, status: Status) -> None:
        feature = self.there(feature, status)
        self.both(lambda: self.model.retry(feature), lambda tx: update.change(tx, "p", feature, {}, retry=True))

    @rule(feature=FEATURES, archived=st.booleans())
    def archive(self, feature: int, archived: bool) -> None:
        feature = self.there(feature, *([] if archived else [Status.ARCHIVED]))
        self.both(
            lambda: self.model.archive(feature, archived=archived),
            lambda tx: update.change(tx, "p", feature, {}, archived=archived),
        )

    @rule(feature=FEATURES, needs=st.sets(FEATURES, max_size=3))
    def depend(self, feature: int, needs: set[int]) -> None:
        feature = self.there(feature)
        chosen = {self.there(one) for one in needs}
        self.both(
            lambda: self.model.depend(feature, chosen),
            lambda tx: set_dependencies(tx, "p", feature, sorted(chosen)),
        )

    # -- invariants ----------------------------------------------------------------------------

    @invariant()
    def the_rows_are_as_in_the_model(self) -> None:
        """Every column that the model has equals the model's value."""
        if not hasattr(self, "other_events"):
            return
        rows = stage.board(self.database)["features"]
        assert len(rows) == len(self.model.features)
        for row in rows:
            one = self.model[row["id"]]
            assert (row["status"], row["archived_from"]) == (one.status, one.archived_from), row["id"]
            assert (row["attempts"], row["failures"], row["skips"]) == (one.attempts, one.failures, one.skips)
            assert (row["claim_token"], row["claimed_by"]) == (one.token, one.holder)
            assert (row["ended_token"], row["ended_by"]) == one.ended
            assert (row["paths"] or []) == self.model.paths[row["id"]]
            assert row["passed_by"] == self.model.passed_by[row["id"]]
            assert row["confirmed_by"] == self.model.confirmed_by[row["id"]]
            assert (row["unconfirmed_since"] is not None) == (row["id"] in self.model.unconfirmed)
            assert (row["recheck_since"] is not None) == (row["id"] in self.model.to_recheck)
            places = (self.model.priority[row["id"]], self.model.unmet(row["id"]))
            assert (row["priority"], row["unmet_dependencies"]) == places

    @invariant()
    def an_audit_finds_nothing(self) -> None:
        """Every value that is derived from dependencies, paths or events is right."""
        if not hasattr(self, "other_events"):
            return
        assert self.database.read_now(audit).unsound == []

    @invariant()
    def the_events_replay(self) -> None:
        """Each call recorded one event for each feature that it concerns, which fits the event before and the table."""
        if not hasattr(self, "other_events"):
            return
        events = stage.journal(self.database)
        assert len(events) == self.model.events + self.other_events
        at: dict[int, str | None] = {}
        for event in events:
            feature, kind = event["feature_id"], event["kind"]
            if feature is None:
                continue
            assert event["from_status"] == at.get(feature), event
            at[feature] = event["to_status"]
            if kind in ALLOWED and kind != Kind.CREATE:
                assert event["from_status"] in ALLOWED[Kind(kind)].sources, event
                assert event["to_status"] in ALLOWED[Kind(kind)].targets, event
        assert at == {number: one.status for number, one in self.model.features.items()}


@pytest.mark.timeout(600)  # shrinking a failing example takes minutes
def test_random_calls_agree_with_the_model(engine: str, db: str) -> None:
    """For random calls the backlog agrees with the model and stays sound."""
    Backlog.db = db
    Backlog.projects = iter(range(1_000_000))
    run_state_machine_as_test(
        Backlog,
        settings=settings(
            max_examples=times(20 if engine == "sqlite" else 8, 200),
            stateful_step_count=70,
            deadline=None,
            report_multiple_bugs=False,
            derandomize=not LONG,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
