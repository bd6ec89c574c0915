"""Followers read every event once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from dibs.database import Database, VerbJob, open_database
from dibs.database.transaction import Transaction
from dibs.queries.follow import BEGINNING, follow, newest, page
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs.verbs.update import add_note
from dibs_schema.answers import FollowedEvent
from dibs_schema.refusals import InvalidInput
from foreign import connected
from verbs.stage import add, new


def read(database: Database, cursor: str, limit: int = 100) -> list[FollowedEvent]:
    """Return the events after a cursor."""
    return database.read_now(lambda tx: follow(tx, cursor, limit))


def soon(database: Database, cursor: str, count: int) -> list[FollowedEvent]:
    """Return the next events, once there are `count`: an older transaction on the server holds them back."""
    deadline = time.monotonic() + 20
    while len(found := read(database, cursor)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_pages_of_any_size_tell_every_event_in_one_order(database: Database) -> None:
    """However a follower pages, it reads the same events in the same order, each once."""
    add(database, 7)
    soon(database, BEGINNING, 7)
    whole = read(database, BEGINNING)
    assert [event.feature for event in whole] == [1, 2, 3, 4, 5, 6, 7]
    cursor, paged = BEGINNING, list[FollowedEvent]()
    while page := read(database, cursor, 2):
        assert len(page) <= 2
        cursor, paged = page[-1].cursor, paged + page
    assert paged == whole
    assert cursor == database.read_now(newest)
    assert read(database, cursor) == []


def test_a_follower_goes_on_after_any_event(database: Database) -> None:
    """Each event has a cursor of its own, so a follower that stops in the middle of a page misses nothing."""
    add(database, 4)
    whole = soon(database, BEGINNING, 4)
    for number, event in enumerate(whole, 1):
        assert read(database, event.cursor) == whole[number:]


@pytest.mark.only_on("postgresql", reason="a file is one database")
def test_an_open_transaction_holds_back_the_events_of_its_own_database_alone(
    database: Database, shared_db: str, new_db: Callable[[], AbstractContextManager[str]]
) -> None:
    """A transaction that is open for hours in another database of the server delays no follower."""
    begin = "BEGIN; SELECT pg_current_xact_id()"
    with new_db() as elsewhere, connected(elsewhere) as foreign, connected(shared_db) as own:
        foreign.execute(begin)
        add(database, 2)
        assert len(soon(database, BEGINNING, 2)) == 2
        own.execute(begin)
        add(database)
        time.sleep(0.3)
        assert len(read(database, BEGINNING)) == 2
        own.execute("COMMIT")
        assert len(soon(database, BEGINNING, 3)) == 3


def test_a_follower_that_begins_now_is_told_what_comes(database: Database) -> None:
    """After the newest cursor only later events are returned."""
    (feature,) = add(database)
    soon(database, BEGINNING, 1)
    now = database.read_now(newest)
    database.write_now(lambda tx: add_note(tx, "ada", feature, "seen"))
    assert [event.kind for event in soon(database, now, 1)] == ["note"]


def test_pages_that_fit_into_an_answer_lead_to_the_end(database: Database) -> None:
    """Pages return all events in order; without a cursor the newest ones, oldest first."""
    features = add(database, 20)
    for one in features:
        database.write_now(lambda tx, one=one: add_note(tx, "ada", one, "x" * 450))  # type: ignore[misc]
    whole = soon(database, BEGINNING, 40)
    cursor, paged, pages = BEGINNING, list[FollowedEvent](), 0
    while (found := database.read_now(lambda tx: page(tx, cursor))).events:  # noqa: B023 - run at once
        assert len(str(found.wire())) < 10_000
        cursor, paged, pages = found.after, paged + found.events, pages + 1
    assert paged == whole
    assert pages > 1
    assert found.after == cursor, "the end is where the reader goes on"
    newest_ones = database.read_now(page)
    assert 0 < len(newest_ones.events) < len(whole)
    assert newest_ones.events == whole[-len(newest_ones.events) :]
    assert newest_ones.after == cursor


def test_projects_are_followed_apart(database: Database, shared_db: str) -> None:
    """The events of a project contain none of another project."""
    add(database)
    neighbour = open_database(Settings(db=shared_db, project=f"neighbour {id(database)}"))
    try:
        add(neighbour, 3)
        assert len(soon(neighbour, BEGINNING, 3)) == 3
        assert len(soon(database, BEGINNING, 1)) == 1
    finally:
        neighbour.close(patience=5)


@pytest.mark.parametrize("cursor", ["", "1", "1-", "-1-1", "a-b", "1-1 ", "9" * 20 + "-1", "0-0; DROP TABLE events"])
def test_what_is_no_cursor_is_refused(database: Database, cursor: str) -> None:
    """A cursor that was not given by an answer is refused by name."""
    with pytest.raises(InvalidInput, match="cursor"):
        read(database, cursor)


def test_a_cursor_beyond_everything_is_at_the_end(database: Database) -> None:
    """Numbers as large as a cursor can hold are no error."""
    add(database)
    assert read(database, f"{'9' * 19}-{'9' * 19}") == []


def test_a_transaction_that_commits_late_is_not_missed(database: Database, shared_db: str) -> None:
    """An event of a transaction that commits late is returned, although a later one committed first."""
    features = add(database, 3)
    project = database.read_now(lambda tx: tx.project.name)
    soon(database, BEGINNING, 3)
    cursor = database.read_now(newest)
    others = [open_database(Settings(db=shared_db, project=project)) for _ in range(2)]
    written, finish = threading.Event(), threading.Event()

    def slowly(tx: Transaction) -> None:
        add_note(tx, "slow", features[1], "written second, committed last")
        written.set()
        finish.wait(10)

    try:
        database.write_now(lambda tx: add_note(tx, "first", features[0], "first"))
        late = threading.Thread(target=lambda: write_without_project_lock(others[0], slowly))
        late.start()
        assert written.wait(10)
        last = threading.Thread(
            target=lambda: write_without_project_lock(others[1], lambda tx: add_note(tx, "last", features[2], "last"))
        )
        last.start()
        last.join(0.5)  # on an engine with one writer it waits for the other write
        told = read(database, cursor)
        finish.set()
        late.join()
        last.join()
        told += soon(database, told[-1].cursor if told else cursor, 3 - len(told))
        assert sorted(event.agent for event in told) == ["first", "last", "slow"]
    finally:
        for one in others:
            one.close(patience=5)


def write_without_project_lock(database: Database, verb: Callable[[Transaction], object]) -> None:
    """Make a write during other writes, if the engine allows it."""
    asyncio.run(database.write(VerbJob(verb, exclusive=False)))


def test_a_look_for_news_takes_no_notice_away_from_who_waits(database: Database, shared_db: str) -> None:
    """A follower and a waiting claim share a connection, and each gets every notification."""
    project = database.read_now(lambda tx: tx.project.name)
    other = open_database(Settings(db=shared_db, project=project))

    async def look() -> tuple[list[int], list[int]]:
        waits, follows = (
            [await database.work_version(), await database.work_version()],
            [await database.event_version()],
        )
        await other.write(lambda tx: create_bulk(tx, "planner", [new()]))
        for _ in range(1_000):  # an older transaction on the server holds the news back
            follows.append(await database.event_version())
            if follows[-1] != follows[0]:
                break
            await asyncio.sleep(0.02)
        return [waits[-1], await database.work_version()], [follows[0], follows[-1]]

    try:
        waits, follows = asyncio.run(look())
    finally:
        other.close(patience=5)
    assert waits[0] != waits[1]
    assert follows[0] != follows[1]
