"""A process that is killed before or after any statement leaves its write completely or not at all."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from clusters.shared import fresh_database, quick_folder
from dibs.database import file_driver
from dibs_schema.operations import OPERATIONS
from faults.crashing import SEED, Copies, Crash, windows
from faults.dying import Job, Zygote
from faults.moves import MOVES, PLANTED, Move
from faults.staging import Staged, stage
from faults.states import state_of
from races.backlog import LONG, times
from transfer.copy.projects import opened

pytestmark = pytest.mark.timeout(times(120, 900))


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """The process that forks the dying processes."""
    mother = Zygote()
    yield mother
    mother.close()


@pytest.fixture(scope="module")
def tried(engine: str) -> Iterator[list[int]]:
    """Counts the tested points, and all points."""
    count = [0, 0]
    yield count
    print(f"\n{count[0]} of {count[1]} crash points on {engine}, seed {SEED}")


@pytest.fixture(scope="module")
def copies(engine: str, request: pytest.FixtureRequest) -> Copies:
    """Makes a copy of a database that no process has open; a file is copied into memory."""

    @contextmanager
    def copy_file(db: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=quick_folder()) as folder:
            yield str(shutil.copy(db, Path(folder) / "features.db"))

    if engine == "sqlite":
        return copy_file
    server = request.getfixturevalue("postgres")
    return lambda db: fresh_database(server, db)


@pytest.fixture(scope="module")
def staged(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[dict[str, tuple[str, Staged]]]:
    """A database for each claim order, on which every write is possible."""
    with new_db() as one, new_db() as other:
        found: dict[str, tuple[str, Staged]] = {}
        for order, db in (("priority", one), ("critical_path", other)):
            with opened(db) as database:
                found[order] = db, stage(database, order)
        yield found


@contextmanager
def prepared(move: Move, copies: Copies, db: str, staged: Staged) -> Iterator[str]:
    """Return the staged database, prepared for the move."""
    if move.prepare is None:
        yield db
        return
    with copies(db) as other:
        with opened(other) as database:
            move.prepare(database, staged)
        yield other


def orders() -> list[tuple[str, str]]:
    """Return each move with the claim orders of a short or a long run."""
    return [
        (name, order)
        for name, move in MOVES.items()
        for order in ("priority", "critical_path")
        if LONG or order == move.order
    ]


@pytest.mark.parametrize(("name", "order"), orders(), ids=[", ".join(one) for one in orders()])
def test_a_killed_process_leaves_its_move_whole_or_not_at_all(
    name: str,
    order: str,
    zygote: Zygote,
    copies: Copies,
    staged: dict[str, tuple[str, Staged]],
    tried: list[int],
) -> None:
    """A write that is killed before COMMIT leaves nothing; after COMMIT it is complete; an audit finds both sound."""
    db, parts = staged[order]
    with prepared(MOVES[name], copies, db, parts) as ready:
        crash = Crash(zygote, copies, name, ready, parts)
        points = crash.chosen()
        crash.try_all(MOVES[name], points)
    tried[0] += len(points)
    tried[1] += len(crash.whole.points)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(
    name: str, zygote: Zygote, copies: Copies, staged: dict[str, tuple[str, Staged]]
) -> None:
    """A write in two transactions, and an answer without COMMIT, are found."""
    crash = Crash(zygote, copies, name, *staged["priority"])
    with pytest.raises(AssertionError, match=r"is kept is not|not as many|unsound"):
        crash.try_all(PLANTED[name], crash.chosen())


def tables(db: str) -> int:
    """Return the number of tables."""
    if "://" in db:
        with psycopg.connect(db) as server:
            return len(server.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall())
    with closing(file_driver().connect(db)) as file:
        return len(file.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchall())


def test_a_killed_first_opening_leaves_all_tables_or_none(
    zygote: Zygote, new_empty_db: Callable[[], AbstractContextManager[str]], tried: list[int]
) -> None:
    """After a killed creation the next process opens the database without errors."""
    with new_empty_db() as db:
        whole = zygote.run(Job("opening", db, {}))
        assert len(whole.answers) == 1, whole.said
        all_tables = tables(db)
    commit = next(place for place, one in enumerate(whole.points) if one == ("before", "COMMIT"))
    drawn = range(len(whole.points)) if LONG else random.Random(SEED).sample(range(commit), 1)
    for point in sorted({*drawn, commit, windows(whole.points[commit:])[0][1] + commit}):
        with new_empty_db() as db:
            report = zygote.run(Job("opening", db, {}, point))
            assert report.signal == signal.SIGKILL, report.said
            assert tables(db) in (0, all_tables) if point > commit else tables(db) == 0
            assert state_of(db)["features"] == {}
        tried[0] += 1
    tried[1] += len(whole.points)


def test_every_tool_that_writes_has_crash_points() -> None:
    """Every tool that writes is tested here, also with a request_id where it takes one."""
    writing = {one.tool: one for one in OPERATIONS if not one.reads}
    by_key = {name for name, one in writing.items() if "request_id" in one.parameters}
    calls = [call for move in MOVES.values() for call in move.tools]
    assert {name for name, _ in calls} == set(writing)
    assert {name for name, arguments in calls if "request_id" in arguments} == by_key
    assert {name for name, arguments in calls if "request_id" not in arguments} == set(writing)
