"""After a migration by a newer Dibs, older processes only read."""

from __future__ import annotations

from typing import Any

from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.refusals import SchemaNewer
from dibs_schema.tables import HEAD
from foreign import by_hand
from races.backlog import fill
from races.servers import ServerClient, StartServer

NEWER = "9999"
WRITES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("feature_mark_in_progress", {"feature_id": 2}),
    ("feature_claim_and_get", {}),
    ("feature_mark_passing", {"feature_id": 1}),
    ("feature_create", {"category": "c", "name": "n", "description": "d", "steps": ["s"]}),
)


def migrate(db: str, version: str) -> None:
    """Change the schema version in the database, as a newer program does."""
    by_hand(db, f"UPDATE alembic_version SET version_num = '{version}'")


def content(db: str) -> list[object]:
    """Return every feature and event."""
    return [by_hand(db, f"SELECT * FROM {table} ORDER BY id") for table in ("features", "events")]


def filled(db: str) -> None:
    """Two features."""
    database = open_database(Settings(db=db))
    fill(database, 2)
    database.close(patience=5)


def assert_writes_nothing(server: ServerClient, db: str) -> None:
    """Assert that every write is refused, and that the refusal names the version."""
    before = content(db)
    for tool, arguments in WRITES:
        refusal = server.refusal(tool, **arguments)
        assert isinstance(refusal, SchemaNewer), (tool, refusal)
        assert refusal.details["schema"] == NEWER
        assert not refusal.retryable
    assert content(db) == before


def test_a_running_server_stops_writing_when_a_newer_one_migrates(db: str, start: StartServer) -> None:
    """Writes get `schema_newer`, reads go on, and the end of the server writes nothing either."""
    filled(db)
    server = start("--lease", "1").ready()
    server.call("feature_mark_in_progress", feature_id=1)
    migrate(db, NEWER)
    assert_writes_nothing(server, db)
    assert server.call("feature_get_by_id", feature_id=1)["status"] == "in_progress"
    assert server.call("feature_get_stats")["total"] == 2
    before = content(db)
    assert server.finish() == 0
    assert content(db) == before


def test_a_server_that_starts_on_a_newer_schema_writes_nothing(db: str, start: StartServer) -> None:
    """A server that starts on it refuses writes too, and works once the schema is known again."""
    filled(db)
    migrate(db, NEWER)
    server = start()
    assert_writes_nothing(server, db)
    assert "result" in server.message(server.ask("ping"))
    migrate(db, HEAD)
    assert server.call("feature_mark_in_progress", feature_id=1)["status"] == "in_progress"
