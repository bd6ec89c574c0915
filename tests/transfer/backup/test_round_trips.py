"""A project that was backed up and restored is the same project, from and to either engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dibs.client import Client, server_command
from dibs.database.project_row import Freeze
from dibs.verbs import outcome
from dibs.verbs.release import release
from dibs_schema.refusals import ClaimLost, DatabaseReplaced
from dibs_schema.status import Status
from foreign import by_hand
from transfer.backup.commands import backed_up, restored
from transfer.copy.projects import contents, generation, is_live, opened, repeat, stage
from verbs.stage import add, is_sound, journal, row, token_of


def test_everything_comes_back(pair: tuple[str, str], tmp_path: Path) -> None:
    """Every row is the same on the other engine, ids continue, and a backup of the restored project has the same digest."""
    source, target = pair
    with opened(source) as old:
        claim = stage(old)
        old.write_now(lambda tx: release(tx, "ada", claim.id, claim.token))
        before = contents(old)
    first = backed_up(source, tmp_path / "first")
    done = restored(tmp_path / "first", target)
    assert (done.released, done.aside, done.unsound, done.rows) == ([], None, [], first.rows)
    with opened(target) as new:
        assert contents(new) == before
        assert is_sound(new)
        assert seal(backed_up(target, tmp_path / "second").file) == seal(first.file)
        repeat(new)
        assert contents(new) == before
        (following,) = add(new)
        assert following == max(feature["id"] for feature in before["features"]) + 1
        assert is_sound(new)
    with opened(source) as old:
        assert contents(old) == before
    assert is_live(source)


def seal(backup: str) -> str:
    """Return the digest in a backup."""
    ((text,),) = by_hand(backup, "SELECT moved_to FROM projects")
    return Freeze.read(text).seal


def test_claims_of_then_are_given_back(pair: tuple[str, str], tmp_path: Path) -> None:
    """A restore ends each claim with its own event, and its token gets claim_lost."""
    source, target = pair
    with opened(source) as old:
        (feature,) = add(old)
        token = token_of(old, feature, "bob")
    assert backed_up(source, tmp_path / "it").claims == 1
    assert restored(tmp_path / "it", target).released == [feature]
    with opened(target) as new:
        assert row(new, feature)["status"] == Status.PENDING
        last = journal(new, feature)[-1]
        assert (last["kind"], last["agent"], last["to_status"]) == ("release", f"bob-{feature}", "pending")
        assert "restored" in last["detail"]["reason"]
        assert is_sound(new)
        with pytest.raises(ClaimLost):
            new.write_now(lambda tx: outcome.mark_passing(tx, "bob", feature, token))
    with opened(source) as old:
        assert row(old, feature)["claim_token"] == token


@pytest.mark.anyio
async def test_what_was_restored_is_another_project_to_running_servers(pair: tuple[str, str], tmp_path: Path) -> None:
    """A server that opened the database while it was empty writes nothing to the restored project."""
    source, target = pair
    with opened(source) as old:
        add(old)
        first = generation(old)
    backed_up(source, tmp_path / "it")
    if "://" not in target:
        with opened(target, "another") as new:  # the file exists, but the project does not
            add(new)
        restored(tmp_path / "it", target)
    else:
        async with Client.start(server_command("--db", target)) as client:
            assert (await client.call("feature_get_stats"))["total"] == 0
            restored(tmp_path / "it", target)
            with pytest.raises(DatabaseReplaced, match="Restart the server"):
                await client.call("feature_claim_and_get")
    with opened(target) as new:
        assert generation(new) != first


def test_a_backup_is_served_to_readers_only(db: str, tmp_path: Path) -> None:
    """A backup can be read like a backlog, and a write is refused because it is a backup."""
    with opened(db) as old:
        add(old, 2)
        before = contents(old)
    backed_up(db, tmp_path / "it")
    with opened(str(tmp_path / "it")) as copy:
        assert contents(copy) == before
        with pytest.raises(DatabaseReplaced, match="dibs restore") as caught:
            add(copy)
    assert caught.value.details["backup_of"] == (str(Path(db).resolve()) if "://" not in db else db_label(db))
    restored(tmp_path / "it", str(tmp_path / "live.db"))


def db_label(db: str) -> str:
    """Return a database's label in messages."""
    with opened(db) as database:
        return database.label


def test_a_project_comes_back_beside_others_and_under_another_name(pair: tuple[str, str], tmp_path: Path) -> None:
    """A backup has one project, and can be restored into a database with other projects and taken event ids."""
    source, target = pair
    with opened(source, "web") as old:
        add(old, 3)
        before = contents(old)
    with opened(target, "api") as other:
        add(other, 5)
    with opened(source, "secret") as another:
        add(another, 2, name="a secret of another project")
    backed_up(source, tmp_path / "it", project="web")
    assert b"secret" not in (tmp_path / "it").read_bytes()
    restored(tmp_path / "it", target, project="web again")
    with opened(target, "web again") as new:
        found = contents(new)
        assert [one["name"] for one in found["features"]] == [one["name"] for one in before["features"]]
        assert len(found["events"]) == 3
        add(new)
        assert is_sound(new)
    with opened(target, "api") as other:
        assert len(contents(other)["features"]) == 5
        assert is_sound(other)
