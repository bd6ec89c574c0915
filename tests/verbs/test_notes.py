"""Notes reach the next worker, the present one, and every reader of the feature."""

from __future__ import annotations

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.verbs import lease
from dibs.verbs.release import release
from dibs.verbs.update import add_note
from dibs_schema.answers import Acknowledgement
from verbs.stage import add, named, take


def note(database: Database, by: str, feature: int, text: str) -> None:
    """Store a note."""
    database.write_now(lambda tx: add_note(tx, by, feature, text))


def test_the_next_heartbeat_reports_new_notes_once(database: Database) -> None:
    """The acknowledgement counts the notes of others since the last call, and has the newest, cut."""
    (feature,) = add(database)
    note(database, "tom", feature, "before the claim")
    token = take(database, named("ada"), feature).claim.token

    def beat(text: str | None = None) -> Acknowledgement:
        return database.write_now(lambda tx: lease.heartbeat(tx, feature, token, text))

    assert (beat().new_notes, beat().note) == (0, None)
    note(database, "tom", feature, "look at the log")
    note(database, "eve", feature, "mind the gap " * 50)
    note(database, "ada", feature, "my own")
    answer = beat("half done")
    assert (answer.new_notes, answer.noted) == (2, True)
    assert answer.note is not None
    assert answer.note.startswith("mind the gap mind")
    assert answer.note.endswith("…")
    assert (beat().new_notes, beat().note) == (0, None)


def test_a_reader_and_the_next_worker_see_the_newest_notes_and_how_many_others_there_are(database: Database) -> None:
    """Notes that do not fit are counted, however many there are."""
    (feature,) = add(database)
    for number in range(60):
        note(database, "tom", feature, f"note {number}")
    read = database.read_now(lambda tx: get_by_id(tx, feature))
    claimed = take(database, named("ada"), feature)
    for there in (read, claimed.feature):
        assert there.notes[-1].text == "note 59"
        assert len(there.notes) + there.more_notes == 60
    database.write_now(lambda tx: release(tx, "ada", feature, claimed.claim.token))
    (other,) = add(database)
    note(database, "tom", other, "the only one")
    shown = database.read_now(lambda tx: get_by_id(tx, other))
    assert ([one.text for one in shown.notes], shown.more_notes) == (["the only one"], 0)
