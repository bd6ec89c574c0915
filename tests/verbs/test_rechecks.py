"""A feature that is no longer satisfied is reported to each dependent, and those that pass are tested again first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.get import get_by_id
from dibs.queries.queue_state import why_idle
from dibs.queries.stats import get_stats
from dibs.verbs import outcome
from dibs.verbs.depend import add_dependency, set_dependencies
from dibs.verbs.review import approve
from dibs.verbs.update import change
from dibs.verbs.verify import take_for_regression
from dibs_schema.answers import Acknowledgement, Idle
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status
from verbs.stage import (
    add,
    alter,
    depend,
    finish,
    is_sound,
    journal,
    place,
    readings,
    refused,
    row,
    rule,
)


def _break(database: Database, feature: int) -> Acknowledgement:
    return database.write_now(lambda tx: outcome.mark_failing(tx, "tess", feature, "it broke"))


def _test(database: Database, feature: int) -> Acknowledgement:
    return database.write_now(lambda tx: outcome.mark_passing(tx, "tess", feature))


def _archive(database: Database, feature: int, *, archived: bool = True) -> None:
    database.write_now(lambda tx: change(tx, "planner", feature, {}, archived=archived))


def _above(database: Database, status: Status, base: int) -> int:
    on = place(database, status)
    depend(database, on.id, base)
    return on.id


def _awaiting(database: Database, base: int | None = None) -> int:
    """Return a passing feature that awaits a recheck, since `base` broke."""
    base = place(database, Status.PASSING).id if base is None else base
    above = _above(database, Status.PASSING, base)
    _break(database, base)
    return above


def _since(database: Database, feature: int) -> float | None:
    since: float | None = row(database, feature)["recheck_since"]
    return since


def _idle(database: Database) -> Idle:
    return database.read_now(why_idle)


# -- what is recorded ---------------------------------------------------------------------------------


def _regression(database: Database, feature: int) -> None:
    _break(database, feature)


def _restoration(database: Database, feature: int) -> None:
    alter(database, feature, archived_from="pending")
    _archive(database, feature, archived=False)


@pytest.mark.parametrize(
    ("before", "end"), [(Status.PASSING, _regression), (Status.ARCHIVED, _restoration)], ids=["regression", "restored"]
)
def test_each_dependent_has_an_event_and_those_that_pass_await_a_recheck(
    database: Database, before: Status, end: Callable[[Database, int], None]
) -> None:
    """A dependent in any state but archived has one event, from its status to itself; only passing ones are marked."""
    base = place(database, before).id
    above = {status: _above(database, status, base) for status in Status}
    events = {one: len(journal(database, one)) for one in above.values()}
    end(database, base)
    for status, feature in above.items():
        new = journal(database, feature)[events[feature] :]
        told = [(one["kind"], one["from_status"], one["to_status"], one["detail"]) for one in new]
        assert told == [(Kind.UNMET, status, status, {"dependency": base})] * (status is not Status.ARCHIVED)
        assert (_since(database, feature) is not None) == (status is Status.PASSING)
        assert row(database, feature)["unmet_dependencies"] == 1
    assert is_sound(database)


def test_only_direct_dependents_are_marked(database: Database) -> None:
    """A dependent of a dependent is marked when that one breaks, too."""
    base, middle = (place(database, Status.PASSING).id for _ in "ab")
    top = _above(database, Status.PASSING, middle)
    depend(database, middle, base)
    _break(database, base)
    assert (_since(database, middle) is None, _since(database, top)) == (False, None)
    _break(database, middle)
    assert (_since(database, middle), _since(database, top) is None) == (None, False)


def test_the_mark_stays_until_the_feature_is_tested(database: Database) -> None:
    """The mark keeps the time of the first break, also if the dependency passes again and breaks again."""
    rule(database, back_off=0)
    base = place(database, Status.PASSING).id
    above = _awaiting(database, base)
    alter(database, above, recheck_since=1.0)
    finish(database, base)
    assert _since(database, above) == 1.0
    _break(database, base)
    assert _since(database, above) == 1.0
    _test(database, above)
    assert _since(database, above) is None
    assert journal(database, above)[-1]["detail"] == {"rechecked": True}
    _test(database, above)
    assert journal(database, above)[-1]["detail"] is None
    assert is_sound(database)


def test_a_regression_ends_the_wait(database: Database) -> None:
    """A feature that turns out to be broken awaits a pass, and no recheck after it."""
    rule(database, back_off=0)
    base = place(database, Status.PASSING).id
    above = _awaiting(database, base)
    _break(database, above)
    assert _since(database, above) is None
    finish(database, base)
    finish(database, above)
    assert _since(database, above) is None
    assert is_sound(database)


def test_an_unmet_dependency_that_is_added_marks_a_passing_feature(database: Database) -> None:
    """A met dependency changes nothing; an unmet one marks the feature, also if it replaces another."""
    above, met, one, other = place(database, Status.PASSING).id, place(database, Status.PASSING).id, *add(database, 2)
    answer = database.write_now(lambda tx: add_dependency(tx, "planner", above, met))
    assert (_since(database, above), answer.hint) == (None, None)
    answer = database.write_now(lambda tx: add_dependency(tx, "planner", above, one))
    assert (_since(database, above) is None, answer.hint) == (False, "It passes, and awaits a recheck.")
    assert journal(database, above)[-1]["detail"] == {"added": [one], "recheck": True}
    _test(database, above)
    answer = database.write_now(lambda tx: add_dependency(tx, "planner", above, one))
    assert (_since(database, above), answer.hint) == (None, None)
    database.write_now(lambda tx: set_dependencies(tx, "planner", above, [other]))
    assert _since(database, above) is not None
    assert is_sound(database)


def test_an_archived_feature_keeps_its_mark_and_keeps_nobody_waiting(database: Database) -> None:
    """An archived feature is not tested; a restored one still awaits its recheck."""
    above = _awaiting(database)
    _archive(database, above)
    assert get_stats_of(database) == 0
    assert above not in readings(database.write_now(lambda tx: take_for_regression(tx, 10)).features)
    _archive(database, above, archived=False)
    assert get_stats_of(database) == 1
    assert is_sound(database)


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.PASSING])
def test_only_a_passing_feature_can_have_the_mark(database: Database, status: Status) -> None:
    """The table's constraint refuses a mark on any other."""
    on = place(database, status)
    with pytest.raises(IntegrityError):
        alter(database, on.id, recheck_since=1.0)


def test_a_feature_with_many_dependents_breaks_in_as_many_statements(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events and marks of all dependents are written in one statement each."""
    few, many = (place(database, Status.PASSING).id for _ in "ab")
    add(database, 1, dependencies=[few])
    add(database, 600, dependencies=[many])
    ran: list[object] = []
    for name in ("_run_hot", "_execute"):
        monkeypatch.setattr(Transaction, name, _counted(getattr(Transaction, name), ran))

    def statements(feature: int) -> int:
        ran.clear()
        _break(database, feature)
        return len(ran)

    assert statements(few) == statements(many)
    assert sum(one["kind"] == Kind.UNMET for one in journal(database)) == 601


def _counted(run: Callable[..., Any], ran: list[object]) -> Callable[..., Any]:
    def counted(self: Transaction, statement: object, parameters: dict[str, Any]) -> Any:
        ran.append(statement)
        return run(self, statement, parameters)

    return counted


# -- who acts on it -----------------------------------------------------------------------------------


def get_stats_of(database: Database) -> int:
    """Return the count of rechecks in the statistics, whose total must not count them twice."""
    stats = database.read_now(lambda tx: get_stats(tx, "here"))
    assert stats.total == sum(
        getattr(stats.counts, name)
        for name in ("pending", "in_progress", "passing", "needs_human", "stuck", "archived")
    )
    return stats.counts.to_recheck


def test_testers_get_rechecks_first_and_the_oldest_of_them(database: Database) -> None:
    """Rechecks come before passes to confirm, and those before the least recently tested; no feature comes twice."""
    tested = place(database, Status.PASSING).id
    _test(database, tested)
    never = place(database, Status.PASSING).id
    base = place(database, Status.PASSING).id
    newer, older = (_above(database, Status.PASSING, base) for _ in "ab")
    rule(database, verifier="other")
    confirm = place(database, Status.PASSING).id
    _break(database, base)
    alter(database, older, recheck_since=1.0)

    def taken(most: int) -> list[int]:
        ids = readings(database.write_now(lambda tx: take_for_regression(tx, most, "tess")).features)
        for one in ids:
            alter(database, one, testing_until=None)
        return ids

    assert [taken(most) for most in (1, 3, 10)] == [
        [older],
        [older, newer, confirm],
        [older, newer, confirm, never, tested],
    ]
    answer = database.write_now(lambda tx: take_for_regression(tx, 10, "tess"))
    assert [one.recheck_since is not None for one in answer.features] == [True, True, False, False, False]


def test_complete_says_how_many_await_a_recheck(database: Database) -> None:
    """By default the project is complete, and the answer counts the rechecks; afterwards it does not mention them."""
    rule(database, back_off=0)
    base = place(database, Status.PASSING).id
    above = _awaiting(database, base)
    finish(database, base)
    idle = _idle(database)
    assert (idle.state, idle.counts.to_recheck, get_stats_of(database)) == ("complete", 1, 1)
    assert idle.message.endswith("since their dependencies have changed: 1.")
    _test(database, above)
    idle = _idle(database)
    assert (idle.state, idle.counts.to_recheck, "recheck" in idle.message) == ("complete", 0, False)


def test_a_project_can_wait_for_its_rechecks(database: Database) -> None:
    """With `rechecks required` the project is complete after the last recheck, which ends waiting claims."""
    rule(database, back_off=0, rechecks="required")
    base = place(database, Status.PASSING).id
    above = _awaiting(database, base)
    finish(database, base)
    idle = _idle(database)
    assert (idle.state, [step.operation for step in idle.next]) == (
        "waiting_for_recheck",
        ["feature_get_for_regression", "feature_mark_passing"],
    )

    def test(tx: Transaction) -> bool:
        outcome.mark_passing(tx, "tess", above)
        return tx.wakes

    assert database.write_now(test)
    assert _idle(database).state == "complete"


def test_a_person_may_end_a_recheck(database: Database) -> None:
    """The way out of a project without a tester: a person approves, once."""
    above = _awaiting(database)
    database.write_now(lambda tx: approve(tx, "planner", above))
    assert _since(database, above) is None
    assert journal(database, above)[-1]["detail"] == {"rechecked": True, "approved": True}
    refused(database, InvalidInput, lambda tx: approve(tx, "planner", above))
    assert is_sound(database)


def test_a_reader_sees_since_when_a_recheck_is_due(database: Database) -> None:
    """feature_get_by_id shows the time, and which dependencies are unmet."""
    base = place(database, Status.PASSING).id
    above = _awaiting(database, base)
    shown = database.read_now(lambda tx: get_by_id(tx, above))
    assert shown.recheck_since is not None
    assert shown.recheck_since.timestamp() == int(_since(database, above) or 0)
    assert shown.blocked_by == [base]
