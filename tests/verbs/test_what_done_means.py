"""What every worker must know and when a feature is done come with each claim."""

from __future__ import annotations

from functools import partial

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.get import get_by_id
from dibs.verbs.claim_in_one_statement import claim_in_one_statement
from dibs.verbs.verify import take_for_regression
from dibs_schema.answers import Claimed
from dibs_schema.status import Status
from verbs.stage import add, finish, named, nameless, place, rule, take

TOLD = "Read docs/style.md first.\nNo new dependencies."
DONE = {"API": "The contract tests pass.", "web": "A picture shows it."}


def test_a_claim_brings_what_done_means(database: Database) -> None:
    """Each claim has the instructions, and the definition of its own category, whatever the case of its letters."""
    rule(database, instructions=TOLD, done_when=DONE)
    (api,), (other,) = add(database, category="api"), add(database, category="core")
    work = take(database, named("ada"), api).feature
    assert (work.instructions, work.done_when) == (TOLD, DONE["API"])
    work = take(database, named("bob"), other).feature
    assert (work.instructions, work.done_when) == (TOLD, None)


def test_a_project_without_them_answers_as_before(database: Database) -> None:
    """Without the settings no member of an answer says anything."""
    (feature,) = add(database)
    told = take(database, named("ada"), feature).feature.wire()
    read = database.read_now(lambda tx: get_by_id(tx, feature)).wire()
    assert not {"instructions", "done_when"} & (told.keys() | read.keys())


def test_a_feature_shows_them_to_its_worker(database: Database) -> None:
    """Everybody reads when a feature is done; only a claimed one also has the instructions."""
    rule(database, instructions=TOLD, done_when={"core": "It is built."})
    waiting, held = place(database, Status.PENDING), place(database, Status.IN_PROGRESS)
    first, second = (database.read_now(partial(get_by_id, feature=one.id)) for one in (waiting, held))
    assert (first.done_when, first.instructions) == ("It is built.", None)
    assert (second.done_when, second.instructions) == ("It is built.", TOLD)


def test_a_tester_reads_them_once(database: Database) -> None:
    """Features to test have their own definitions, and the answer has the instructions once."""
    rule(database, instructions=TOLD, done_when={"core": "It is built."})
    for feature in add(database, 3):
        finish(database, feature)
    answer = database.write_now(lambda tx: take_for_regression(tx, 3))
    assert answer.instructions == TOLD
    assert [(one.done_when, one.instructions) for one in answer.features] == [("It is built.", None)] * 3


def test_texts_are_cleaned(database: Database) -> None:
    """Invisible characters and escape sequences of a planner reach no worker."""
    rule(database, instructions=" a\x1b[31mb\u200bc\u202ed ", done_when={"co\u200bre": "x\x07y"})
    (feature,) = add(database)
    work = take(database, named("ada"), feature).feature
    assert (work.instructions, work.done_when) == ("abcd", "xy")


@pytest.mark.only_on("postgresql", reason="elsewhere each transaction reads the project's row")
@pytest.mark.parametrize("changed", [{"instructions": TOLD}, {"done_when": {"core": "It is built."}}], ids=str)
def test_one_statement_claims_nothing_by_outdated_texts(database: Database, changed: dict[str, object]) -> None:
    """A claim in one statement, which reads no settings, leaves it to a whole transaction after they have changed."""
    add(database, 2)
    holder = nameless("session-1")
    assert database.write_now(lambda tx: claim_in_one_statement(tx, holder)) is not None
    known = database.read_now(lambda tx: tx.project)
    rule(database, **changed)

    def claim_as_known(tx: Transaction) -> Claimed | None:
        tx.project = known
        return claim_in_one_statement(tx, holder)

    assert database.write_now(claim_as_known) is None
