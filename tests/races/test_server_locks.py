"""The locks on PostgreSQL: each test names its lock, and fails without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from dibs.database import Database, WriteJob, open_database
from dibs.database.postgres.engine import Postgres
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs import claim, depend, lease, outcome, skip
from dibs.verbs.claim_in_one_statement import claim_in_one_statement
from dibs.verbs.create import create_bulk
from dibs_schema.answers import Claimed, Idle
from dibs_schema.inputs import NewFeature
from dibs_schema.refusals import AlreadyClaimed, Refusal, WouldCycle
from races.backlog import events_of, eventually, fill, row

pytestmark = [
    pytest.mark.only_on("postgresql", reason="these locks are those of the one engine"),
    pytest.mark.timeout(60),
]


WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def two(db: str) -> Iterator[tuple[Database, Database]]:
    """Two sets of connections to one backlog, as of two processes."""
    ours = open_database(Settings(db=db)), open_database(Settings(db=db))
    yield ours
    for one in ours:
        one.close(patience=5)


class Held:
    """A verb in a transaction that stays open until `finish`; `result` is its result."""

    def __init__(self, database: Database, verb: Callable[[Transaction], Any]) -> None:
        self._verb = verb
        self._done, self._finish = threading.Event(), threading.Event()
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(database,))
        self._thread.start()

    def _run(self, database: Database) -> None:
        def run(tx: Transaction) -> Any:
            answer = self._verb(tx)
            self._done.set()
            self._finish.wait(20)
            return answer

        try:
            self.result = database.write_now(run)
        except Refusal as refusal:
            self.result = refusal
        finally:
            self._done.set()

    def has_run(self, within: float = 1.0) -> bool:
        """Return whether the verb has run, and does not wait for a lock."""
        return self._done.wait(within)

    def finish(self) -> Any:
        """Commit the transaction, and return the result."""
        self._finish.set()
        self._thread.join()
        return self.result


def after_each_other(
    two: tuple[Database, Database], one: Callable[[Transaction], Any], other: Callable[[Transaction], Any]
) -> tuple[Any, Any]:
    """Run two verbs whose transactions are open at the same time, as far as the locks let them."""
    first = Held(two[0], one)
    assert first.has_run(5)
    second = Held(two[1], other)
    eventually(lambda: second.has_run(0) or two[0].read_now(lambda tx: tx.value(WAITING)))
    return first.finish(), second.finish()


@contextmanager
def never_exclusive() -> Iterator[None]:
    """Remove the lock of the project's row."""
    whole = Postgres.write_transaction
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Postgres,
            "write_transaction",
            lambda self, connection, name, *, exclusive, abandoned: whole(
                self, connection, name, exclusive=False, abandoned=abandoned
            ),
        )
        yield


def add_edges(two: tuple[Database, Database]) -> list[Any]:
    """Make 1 depend on 2 and 2 on 1, at the same time."""
    return list(
        after_each_other(
            two,
            lambda tx: depend.add_dependency(tx, "one", 1, 2),
            lambda tx: depend.add_dependency(tx, "other", 2, 1),
        )
    )


def test_two_edges_never_close_a_circle_between_them(two: tuple[Database, Database]) -> None:
    """Of two edges that would make a cycle, the second is refused: it reads after the first has committed."""
    fill(two[0], 2)
    assert isinstance(add_edges(two)[1], WouldCycle)


def test_without_the_project_lock_they_would(two: tuple[Database, Database]) -> None:
    """The test above finds the fault that the lock of the project row prevents."""
    fill(two[0], 2)
    with never_exclusive():
        assert not any(isinstance(one, WouldCycle) for one in add_edges(two))


def skip_both(two: tuple[Database, Database]) -> list[int]:
    """Skip 1 and 2 at the same time, and return their priorities."""
    after_each_other(
        two,
        lambda tx: skip.skip(tx, "one", 1, "later"),
        lambda tx: skip.skip(tx, "other", 2, "later"),
    )
    return [row(two[0], feature)["priority"] for feature in (1, 2)]


def test_two_skips_never_end_at_the_same_place(two: tuple[Database, Database]) -> None:
    """A skip puts its feature behind all others, even behind features that are skipped at the same time."""
    fill(two[0], 3)
    assert skip_both(two) == [4, 5]


def test_without_the_project_lock_they_would_share_a_place(two: tuple[Database, Database]) -> None:
    """The test above finds the fault that the lock of the project row prevents."""
    fill(two[0], 3)
    with never_exclusive():
        assert skip_both(two) == [4, 4]


def holder(name: str, *, named: bool = True) -> Holder:
    """Return a holder."""
    return Holder(name, named=named, session=f"session of {name}", lease=120)


def claimed(database: Database, who: Holder, feature: int) -> str:
    """Return the token of a claim."""
    return str(database.write_now(lambda tx: claim.mark_in_progress(tx, who, feature)).token)


def test_two_passes_that_share_dependents_free_each_of_them_once(two: tuple[Database, Database]) -> None:
    """The last dependency to pass reports that the dependents are ready, and the counters are right."""
    fill(two[0], 4, needs=[(), (), (0, 1), (0, 1)])
    tokens = [claimed(two[0], holder(f"agent {feature}"), feature) for feature in (1, 2)]
    first, second = after_each_other(
        two,
        lambda tx: outcome.mark_passing(tx, "one", 1, tokens[0]),
        lambda tx: outcome.mark_passing(tx, "other", 2, tokens[1]),
    )
    assert (first.unblocked, second.unblocked) == ([], [3, 4])
    assert [row(two[0], feature)["unmet_dependencies"] for feature in (3, 4)] == [0, 0]


def edge_while_passing(two: tuple[Database, Database]) -> int:
    """Let 2 depend on 1, which passes at the same time, and return how many unmet dependencies 2 has then."""
    token = claimed(two[0], holder("ada"), 1)
    after_each_other(
        two,
        lambda tx: outcome.mark_passing(tx, "one", 1, token),
        lambda tx: depend.add_dependency(tx, "other", 2, 1),
    )
    return int(row(two[0], 2)["unmet_dependencies"])


def test_an_edge_to_a_feature_that_passes_at_the_same_time_holds_nothing_back(two: tuple[Database, Database]) -> None:
    """The status that an edge counts by is read after the pass has committed."""
    fill(two[0], 2)
    assert edge_while_passing(two) == 0


def test_without_the_project_lock_it_would_for_ever(two: tuple[Database, Database]) -> None:
    """The test above finds the fault that the lock of the project row prevents."""
    fill(two[0], 2)
    with never_exclusive():
        assert edge_while_passing(two) == 1


class ClaimOfNext(WriteJob[Claimed | Idle]):
    """A claim of the next feature, tried as one statement first."""

    def __init__(self, who: Holder) -> None:
        self.who = who

    def run(self, tx: Transaction) -> Claimed | Idle:
        return claim.claim(tx, self.who)

    def autocommit(self) -> Callable[[Transaction], Claimed | None]:
        return lambda tx: claim_in_one_statement(tx, self.who)


@pytest.mark.parametrize("stronger", [False, True], ids=["no key update", "update"])
def test_a_move_under_way_does_not_hold_up_the_claims_of_others(
    two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, *, stronger: bool
) -> None:
    """The project's lock leaves the foreign key of an event alone; plain FOR UPDATE would not."""
    fill(two[0], 3)
    two[1].write_now(lambda _: None)
    if stronger:
        engine = two[0]._connections.engine
        assert isinstance(engine, Postgres)
        monkeypatch.setattr(engine, "_write_locked", engine._write_locked.replace("FOR NO KEY UPDATE", "FOR UPDATE"))
    move = Held(two[0], lambda tx: skip.skip(tx, "one", 1, "later"))
    assert move.has_run(5)
    who = holder("nameless", named=False)
    claims: list[Any] = []
    other = threading.Thread(target=lambda: claims.append(two[1].write_now(ClaimOfNext(who))))
    other.start()
    other.join(1)
    assert bool(claims) is not stronger
    move.finish()
    other.join()
    assert claims[0].feature.id == 2


def test_a_claim_by_id_and_a_claim_of_the_next_never_get_the_same(two: tuple[Database, Database]) -> None:
    """The second of two claims is refused or gets another feature; a claim by id waits for the first."""
    fill(two[0], 2)
    first, second = after_each_other(
        two,
        lambda tx: claim.claim_row(tx, holder("by id"), 1),
        lambda tx: claim_in_one_statement(tx, holder("of the next", named=False)),
    )
    assert first["id"] == 1
    assert second is not None
    assert second.feature.id == 2


def test_a_claim_by_id_of_what_is_just_being_claimed_is_refused(two: tuple[Database, Database]) -> None:
    """A claim by id waits for a locked row, and then reports the holder."""
    fill(two[0], 1)
    with never_exclusive():
        first, second = after_each_other(
            two,
            lambda tx: claim.claim(tx, holder("of the next")),
            lambda tx: claim.mark_in_progress(tx, holder("by id"), 1),
        )
    assert isinstance(first, Claimed)
    assert isinstance(second, AlreadyClaimed)


def test_what_is_just_being_claimed_is_never_called_complete(two: tuple[Database, Database]) -> None:
    """A claim that finds every ready row locked retries, and then gives a correct answer."""
    fill(two[0], 1)
    with never_exclusive():
        under_way = Held(two[0], lambda tx: claim.claim(tx, holder("of the next")))
        assert under_way.has_run(5)
        late = Held(two[1], lambda tx: claim.claim(tx, holder("late")))
        assert not late.has_run(1)
        under_way.finish()
        idle = late.finish()
    assert isinstance(idle, Idle)
    assert idle.state == "waiting_for_claims"


def test_the_reaper_leaves_alone_what_is_being_renewed(two: tuple[Database, Database]) -> None:
    """A lease that ran out and is renewed at this moment is neither reaped nor waited for."""
    fill(two[0], 2)
    tokens = [claimed(two[0], Holder("ada", named=False, session="s", lease=0.01), one) for one in (1, 2)]
    with never_exclusive():
        renewal = Held(two[0], lambda tx: lease.renew(tx, [tokens[0]]))
        assert renewal.has_run(5)
        reaper = Held(two[1], lease.reap)
        assert reaper.has_run(2), "it waits for the renewal"
        assert reaper.finish() == [2]
    assert renewal.finish() == {tokens[0]}
    assert row(two[0], 1)["claim_token"] == tokens[0]
    assert [event["kind"] for event in events_of(two[0], 2)] == ["create", "claim", "expire"]


def test_two_renewals_of_the_same_claims_never_deadlock(two: tuple[Database, Database]) -> None:
    """Rows are locked in the order of their ids, whatever the order of the tokens."""
    fill(two[0], 40)
    tokens = [claimed(two[0], holder(f"agent {one}"), one) for one in range(1, 41)]
    deadlocks = []

    def renew(database: Database, mine: list[str]) -> None:
        for _ in range(60):
            try:
                assert database.write_now(lambda tx: lease.renew(tx, mine)) == set(mine)
            except Refusal as refusal:
                deadlocks.append(refusal)

    with never_exclusive():
        threads = [
            threading.Thread(target=renew, args=args) for args in ((two[0], tokens), (two[1], list(reversed(tokens))))
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert not deadlocks


def claim_one_file(two: tuple[Database, Database]) -> list[Any]:
    """Claim two features of one file at the same time."""
    batch = [
        NewFeature(category="c", name="n", description="d", steps=["s"], paths=[path]) for path in ("src", "src/a")
    ]
    two[0].write_now(lambda tx: create_bulk(tx, "test", batch))
    claims = after_each_other(
        two, lambda tx: claim.claim(tx, holder("one")), lambda tx: claim.claim(tx, holder("other"))
    )
    return [one.state for one in claims]


def test_two_claims_are_never_on_one_file(two: tuple[Database, Database]) -> None:
    """The second of two overlapping claims reads after the first has committed."""
    assert claim_one_file(two) == ["claimed", "waiting_for_claims"]


def test_without_the_project_lock_two_claims_would_be(two: tuple[Database, Database]) -> None:
    """The test above finds the fault that the lock of the project row prevents."""
    with never_exclusive():
        assert claim_one_file(two) == ["claimed", "claimed"]
