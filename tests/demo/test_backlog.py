"""The example is found, and any importable file becomes a fresh database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.demo_run import small_backlog
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.project_settings import get_settings
from dibs_proof.demo.plan import BACK_OFF, example, fill
from dibs_schema.refusals import InvalidInput

pytestmark = pytest.mark.only_on("sqlite", reason="the demo makes a file of its own")


@pytest.fixture
def database(empty_db: str) -> Iterator[Database]:
    """A database that no process has opened, as the demo requires."""
    opened = open_database(Settings(db=empty_db))
    yield opened
    opened.close(patience=5)


def test_the_example_has_sixty_four_features_to_build(database: Database) -> None:
    """Wherever the package is installed, `dibs demo` has a backlog of its own."""
    assert len(fill(database, example()).open) == 64


def test_a_backlog_is_imported_as_it_was(database: Database, tmp_path: Path) -> None:
    """Passing and archived features are not open, and the back-off is short."""
    backlog = fill(database, small_backlog(tmp_path))
    assert (len(backlog.statuses), len(backlog.open)) == (16, 14)
    assert database.read_now(get_settings).back_off == BACK_OFF


def test_an_existing_database_is_refused(database: Database, tmp_path: Path) -> None:
    """The demo never writes into an existing backlog."""
    fill(database, small_backlog(tmp_path))
    with pytest.raises(InvalidInput, match="exists already"):
        fill(database, small_backlog(tmp_path))


def test_a_file_without_features_is_refused(database: Database, tmp_path: Path) -> None:
    """An empty list is no backlog."""
    file = tmp_path / "empty.json"
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(InvalidInput):
        fill(database, file)
