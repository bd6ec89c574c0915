"""Several projects on one screen: a page of all, and each project's own pages below its number."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from board.people import Person, Stream, board_on
from dibs.database import Database, open_database
from dibs.queries.get import get_by_id
from dibs.settings import Settings
from dibs_schema.status import Status
from verbs.stage import add, place


def test_each_project_has_its_own_pages(
    board_db: str, database: Database, new_db: Callable[[], AbstractContextManager[str]]
) -> None:
    """The page of all counts what needs a person; a form of one project changes nothing in another."""
    with new_db() as second, board_on(board_db, "--db", second) as board, Person(board) as person:
        person.enter()
        with closing(open_database(Settings(db=second))) as other:
            here, there = place(database, Status.STUCK).id, place(other, Status.STUCK).id
            (idle,) = add(database, name="Only here")
            front = person.get("/").text
            assert [f'href="/{number}/"' in front for number in (1, 2, 3)] == [True, True, False]
            assert [f'id="feature-{idle}"' in person.get(f"/{number}/board").text for number in (1, 2)] == [True, False]
            done = person.post(
                "/2/do/retry",
                data={"back": "/board", "feature": str(there)},
                headers={"origin": board.origin, "sec-fetch-site": "same-origin"},
            )
            assert (done.status_code, done.headers["location"]) == (303, "/2/board")
            assert other.read_now(lambda tx: get_by_id(tx, there)).status == "pending"
            assert database.read_now(lambda tx: get_by_id(tx, here)).status == "stuck"
            with Stream(person, "/") as stream:
                before = json.loads(stream.next("counts"))["needs_you"]
                place(other, Status.STUCK)
                assert json.loads(stream.next("counts"))["needs_you"] == before + 1


def test_a_project_that_does_not_exist_is_refused(board_db: str) -> None:
    """The board does not start without it."""
    command = [sys.executable, "-m", "dibs", "board", "--db", board_db, "--project", "default", "--project", "none"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "There is no project 'none'" in ended.stderr) == (1, True)
