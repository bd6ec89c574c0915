"""The stream of a page: what changes arrives, also after the connection, the board or the database was lost."""

from __future__ import annotations

import json

import pytest

from board.people import Person, Stream, board_on
from dibs.database import Database
from dibs_schema.status import Status
from verbs.stage import add, place


def test_a_change_arrives_with_the_cursor_of_the_journal(person: Person, database: Database) -> None:
    """The stream begins with all live elements; a change sends those that differ, with a later cursor."""
    with Stream(person, "/") as stream:
        first = stream.next("patch")
        for element in ("needs-you", "agents", "progress", "events"):
            assert f'<section id="{element}" data-live' in first
        before = stream.id
        stuck = place(database, Status.STUCK, name="Broken <i>thing</i>").id
        while f'id="stuck-{stuck}"' not in (changed := stream.next("patch")):
            pass
        assert "Broken &lt;i&gt;thing&lt;/i&gt;" in changed
        assert stream.id != before


def test_the_title_counts_what_needs_a_person(person: Person, database: Database) -> None:
    """The count in the title changes with the page."""
    with Stream(person, "/board") as stream:
        before = json.loads(stream.next("counts"))
        place(database, Status.NEEDS_HUMAN)
        after = json.loads(stream.next("counts"))
    assert after["needs_you"] == before["needs_you"] + 1
    assert after["title"].startswith(f"({after['needs_you']}) Board — ")


def test_a_page_sends_what_its_address_shows(person: Person, database: Database) -> None:
    """A filtered page receives the changes of its own features."""
    with Stream(person, "/board?category=only-here&state=ready") as stream:
        assert "(0)" in stream.next("patch")
        add(database, category="elsewhere")
        (here,) = add(database, category="only-here")
        changed = stream.next("patch")
    assert (f'id="feature-{here}"' in changed, "(1)" in changed) == (True, True)


def test_a_new_connection_has_what_the_lost_one_missed(person: Person, database: Database) -> None:
    """Whatever happened meanwhile is in the first elements after Last-Event-ID."""
    with Stream(person, "/events") as stream:
        stream.next("patch")
        cursor = stream.id
    assert cursor is not None
    missed = add(database, 3, name="Missed")
    with Stream(person, "/events", **{"last-event-id": cursor}) as stream:
        first = stream.next("patch")
    assert [f'href="/feature/{one}"' in first for one in missed] == [True] * 3


def test_the_page_of_a_stream_must_be_one(person: Person) -> None:
    """An address that is no page of the board is refused."""
    for page in ("/nowhere", "https://evil.example/", "/do/free"):
        assert person.get("/live", params={"page": page}).status_code == 422


def test_a_killed_board_is_replaced(board_db: str, database: Database) -> None:
    """SIGKILL ends the stream, loses nothing, and the next board on the port shows what happened meanwhile."""
    with board_on(board_db) as board, Person(board) as person, Stream(person.enter(), "/") as stream:
        stream.next("patch")
        board.kill()
        with pytest.raises(Exception):  # noqa: B017, PT011 - how a connection ends is the system's business
            stream.next("never")
        stuck = place(database, Status.STUCK).id
        with board_on(board_db, port=board.port) as other, Person(other) as again, Stream(again.enter(), "/") as fresh:
            assert f'id="stuck-{stuck}"' in fresh.next("patch")


def test_a_board_ends_at_once_with_open_streams(board_db: str) -> None:
    """SIGTERM ends the streams and the process, with status 0."""
    with board_on(board_db) as board, Person(board) as person, Stream(person.enter(), "/") as stream:
        stream.next("patch")
        board.process.terminate()
        with pytest.raises(EOFError):
            stream.next("never")
        assert board.process.wait(timeout=30) == 0
