"""A refused copy changes nothing, and a copied project is live in one database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from dibs.client import Client, server_command
from dibs.database.compiled import JSONText
from dibs.verbs.release import release
from dibs.verbs.staged_import import stage_part
from dibs_schema.refusals import (
    AlreadyClaimed,
    DatabaseDamaged,
    DatabaseReplaced,
    InvalidInput,
    NotFound,
    Refusal,
)
from transfer.copy.projects import contents, copied, is_live, opened, stage
from verbs.stage import add, alter, token_of

SECRET = "not-to-be-told"


def refused(
    kind: type[Refusal], source: str, target: str, *, project: str = "default", to_project: str | None = None
) -> Refusal:
    """Run a copy that must be refused, and return the refusal, which must not contain the password."""
    with pytest.raises(kind) as caught:
        copied(source, target, project=project, to_project=to_project)
    assert SECRET not in caught.value.message
    return caught.value


def test_live_claims_are_a_reason_to_refuse(pair: tuple[str, str]) -> None:
    """Without --with-claims a project with live claims is refused, and nothing changes."""
    source, target = pair
    with opened(source) as old:
        claim = stage(old)
        before = contents(old)
    says = refused(AlreadyClaimed, source, target)
    assert f"{claim.id} by {claim.holder.name}" in says.message
    assert is_live(source)
    with opened(source) as old:
        assert contents(old) == before
    with opened(target) as new:
        assert contents(new)["features"] == []


def test_the_source_refuses_writes_and_answers_reads(pair: tuple[str, str]) -> None:
    """Writes to a moved project get the new database's label without credentials; reads still work."""
    source, target = pair
    with opened(source) as early:
        add(early)
        before = contents(early)
        copied(source, target)
        with opened(source) as late:
            for database in (early, late):
                with pytest.raises(DatabaseReplaced) as caught:
                    add(database)
                says = caught.value
                assert f"has moved to {says.details['moved_to']}" in says.message
                assert "DIBS_DB" in says.message
                assert SECRET not in says.message
                assert contents(database) == before
    with opened(target) as new:
        where = new.file.resolve() if new.file else new.label
        assert says.details["moved_to"] == str(where)


@pytest.mark.anyio
async def test_a_running_server_gets_to_know(pair: tuple[str, str]) -> None:
    """A server on the source refuses the next write, still reads, and ends normally; a server on the target continues."""
    source, target = pair
    with opened(source) as old:
        add(old, 2)
    async with Client.start(server_command("--db", source, "--lease", "1")) as client:
        claimed = await client.call("feature_claim_and_get")
        token, feature = claimed["claim"]["token"], claimed["feature"]["id"]
        copied(source, target, with_claims=True)
        with pytest.raises(DatabaseReplaced, match="has moved to"):
            await client.call("feature_mark_passing", feature_id=feature)
        with pytest.raises(DatabaseReplaced, match="has moved to"):
            await client.call("feature_claim_and_get")
        assert (await client.call("feature_get_stats"))["counts"]["in_progress"] == 1
        async with Client.start(server_command("--db", target)) as other:
            done = await other.call("feature_mark_passing", feature_id=feature, claim_token=token)
            assert done["status"] == "passing"
    assert client.process.returncode == 0


@pytest.mark.anyio
async def test_a_server_that_opened_the_empty_target_must_be_restarted(pair: tuple[str, str]) -> None:
    """The project that it had opened has been replaced by another."""
    source, target = pair
    with opened(source) as old:
        add(old)
    async with Client.start(server_command("--db", target)) as client:
        assert (await client.call("feature_get_stats"))["total"] == 0
        copied(source, target)
        with pytest.raises(DatabaseReplaced, match="Restart the server"):
            await client.call("feature_claim_and_get")


def test_a_second_copy_is_refused(pair: tuple[str, str], new_place: Callable[[str], str]) -> None:
    """A project that has moved is copied only from its new database."""
    source, target = pair
    with opened(source) as old:
        add(old)
    copied(source, target)
    for place in (target, new_place("sqlite")):
        says = refused(DatabaseReplaced, source, place)
        assert "has moved to" in says.message
    assert is_live(target)


def test_a_project_in_the_way_is_left_alone(pair: tuple[str, str]) -> None:
    """A target with a project of the same name is refused by name."""
    source, target = pair
    for db in pair:
        with opened(db, "web") as database:
            add(database)
    says = refused(InvalidInput, source, target, project="web")
    assert "already" in says.message
    assert "'web'" in says.message
    assert is_live(source, "web")
    assert is_live(target, "web")


def test_an_import_in_the_way_is_left_alone(new_place: Callable[[str], str]) -> None:
    """A target whose first large import is being staged is in use, though it has no feature yet."""
    source, target = new_place("sqlite"), new_place("sqlite")
    with opened(source) as old, opened(target) as new:
        add(old)
        new.write_now(partial(stage_part, name="one", part=0, staged=JSONText("[]")))
    assert "already" in refused(InvalidInput, source, target).message
    assert is_live(source)


def test_an_old_place_of_another_project_is_left_alone(new_place: Callable[[str], str]) -> None:
    """Only the project that moved away may be copied over its old rows."""
    one, other, third = (new_place("sqlite") for _ in range(3))
    for db in (one, third):
        with opened(db) as database:
            add(database)
    copied(one, other)
    says = refused(InvalidInput, third, one)
    assert "has moved to" in says.message
    assert is_live(third)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_one_database_under_two_names_is_seen_through(new_place: Callable[[str], str], engine: str) -> None:
    """A link, or a URL with other parameters, to the same database is refused before anything is created."""
    source = new_place(engine)
    with opened(source) as old:
        add(old)
    if engine == "sqlite":
        alias = f"{source}-alias"
        Path(alias).symlink_to(source)
    else:
        alias = source.replace("127.0.0.1", "localhost") + "?application_name=other"
    for target in (source, alias):
        says = refused(InvalidInput, source, target, to_project="other")
        assert "same database" in says.message
    with opened(source) as old:
        count = old.read_now(lambda tx: tx.value(text("SELECT count(*) FROM projects")))
        assert count == 1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_is_not_there_is_not_made(new_place: Callable[[str], str], engine: str) -> None:
    """A mistyped source or project is refused with the existing names, and nothing is created."""
    source, target = new_place(engine), new_place("sqlite")
    refused(NotFound, source, target)
    with opened(source, "web") as old:
        add(old)
    says = refused(NotFound, source, target, project="wbe")
    assert "but there is 'web'" in says.message
    assert not Path(target).exists()


def test_a_value_that_the_target_cannot_hold_is_refused(new_place: Callable[[str], str]) -> None:
    """A value that the target does not accept rolls back the copy, and the source stays live."""
    source, target = new_place("sqlite"), new_place("postgresql")
    with opened(source) as old:
        ids = add(old, 3)
        alter(old, ids[2], priority=2**40)
    says = refused(InvalidInput, source, target)
    assert "does not accept" in says.message
    assert is_live(source)
    with opened(target) as new:
        assert contents(new)["features"] == []


LIE_TO_A_FILE = """
CREATE TRIGGER lies AFTER INSERT ON features
BEGIN UPDATE features SET name = name || '!' WHERE id = new.id; END
"""
LIE_TO_A_SERVER = """
CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.name := new.name || '!'; RETURN new; END $$;
CREATE TRIGGER lies BEFORE INSERT ON features FOR EACH ROW EXECUTE FUNCTION lie()
"""


@pytest.mark.parametrize(("engine", "lie"), [("sqlite", LIE_TO_A_FILE), ("postgresql", LIE_TO_A_SERVER)])
def test_a_copy_that_differs_is_taken_back(new_place: Callable[[str], str], engine: str, lie: str) -> None:
    """The rows in the target are compared before the commit, so a changed value is found."""
    source, target = new_place("sqlite"), new_place(engine)
    with opened(source) as old:
        add(old, 2)
    with opened(target) as new:
        new.write_now(lambda tx: tx.connection.exec_driver_sql(lie))
    says = refused(DatabaseDamaged, source, target)
    assert "differs from what was read" in says.message
    assert is_live(source)
    with opened(target) as new:
        assert contents(new)["features"] == []


def test_a_claim_that_ends_in_time_is_no_obstacle(pair: tuple[str, str]) -> None:
    """Once the holder has released its claim, the copy that was refused succeeds."""
    source, target = pair
    with opened(source) as old:
        (feature,) = add(old)
        token = token_of(old, feature)
        refused(AlreadyClaimed, source, target)
        old.write_now(lambda tx: release(tx, "ada", feature, token))
    copied(source, target)
    assert not is_live(source)
