"""On a full disk writes are refused, and no acknowledged change is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dibs.database import file_driver
from dibs_schema.refusals import DiskFull, OutcomeUnknown, Refusal
from faults.volumes import fill_up, volume
from races.servers import ServerClient, StartServer, serving, up

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

TEXT = {"category": "c", "description": "d" * 20_000, "steps": ["s"]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    with volume(tmp_path / "disk", "4m") as place:
        yield place


@pytest.fixture
def small(disk: Path) -> Iterator[StartServer]:
    """Start servers on a database on the small disk."""
    with serving(disk / "features.db") as starter:
        yield starter


def create_until_full(server: ServerClient) -> tuple[list[int], Refusal]:
    """Create features until one is refused, and return the acknowledged ids and the refusal."""
    acknowledged: list[int] = []
    while True:
        try:
            acknowledged += server.call("feature_create", name=f"n{len(acknowledged)}", **TEXT)["ids"]
        except Refusal as refusal:
            return acknowledged, refusal


def assert_there(server: ServerClient, ids: list[int]) -> None:
    """Assert that each of the features is there with all of its fields."""
    for number in ids:
        assert server.call("feature_get_by_id", feature_id=number)["name"] == f"n{number - 1}"


def test_what_was_acknowledged_before_the_disk_was_full_is_kept(disk: Path, small: StartServer) -> None:
    """A write without room gets `disk_full`, and all earlier writes stay."""
    server, other = up(small(), small())
    acknowledged, refusal = create_until_full(server)
    assert isinstance(refusal, DiskFull), refusal
    assert len(acknowledged) > 20
    assert other.call("feature_get_stats")["total"] == len(acknowledged)
    assert_there(other, acknowledged)
    server.kill()
    assert_there(small(), acknowledged)
    check = file_driver().connect(f"{disk}/features.db")
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


def test_a_server_works_on_when_there_is_room_again(disk: Path, small: StartServer) -> None:
    """A full disk ends no server, and refused writes change nothing."""
    server = small()
    acknowledged = server.call("feature_create", name="n0", **TEXT)["ids"]
    filler = fill_up(disk)
    more, refusal = create_until_full(server)
    assert isinstance(refusal, DiskFull), refusal
    assert isinstance(server.refusal("feature_mark_in_progress", feature_id=1), DiskFull)
    assert server.call("feature_get_by_id", feature_id=1)["status"] == "pending"
    assert_there(server, [1, *more])
    filler.unlink()
    assert server.call("feature_create", name="again", **TEXT)["count"] == 1
    token = server.call("feature_mark_in_progress", feature_id=1)["token"]
    assert server.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"
    assert acknowledged == [1]


def test_a_claim_that_could_not_be_written_was_never_issued(disk: Path, small: StartServer) -> None:
    """After a claim that failed because the disk was full, the next claim is the only one, and its token may be left out."""
    server = small()
    server.call("feature_create", name="n0", **TEXT)
    filler = fill_up(disk)
    create_until_full(server)
    assert isinstance(server.refusal("feature_mark_in_progress", feature_id=1), DiskFull)
    filler.unlink()
    server.call("feature_mark_in_progress", feature_id=1)
    assert server.call("feature_mark_passing", feature_id=1)["status"] == "passing"


def test_a_server_that_starts_on_a_full_disk_says_so_and_serves_when_there_is_room(
    disk: Path, small: StartServer
) -> None:
    """A database cannot be created on a full disk; the first call with room creates it."""
    filler = fill_up(disk)
    server = small()
    for _ in range(2):
        refusal = server.refusal("feature_get_stats")
        assert isinstance(refusal, DiskFull), refusal
    assert "result" in server.message(server.ask("ping"))
    filler.unlink()
    assert server.call("feature_create", name="n0", **TEXT)["ids"] == [1]


@pytest.mark.parametrize("room", [8, 40, 100])
def test_a_database_that_is_made_with_too_little_room_is_made_later(disk: Path, small: StartServer, room: int) -> None:
    """A database whose creation stops at any point because the disk is full is completed later."""
    filler = fill_up(disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - room * 1024)
    server = small()
    refusal = server.refusal("feature_create", name="n0", **TEXT)
    assert refusal is None or isinstance(refusal, DiskFull), refusal
    filler.unlink()
    again = server.call("feature_create", name="n1", **TEXT)
    assert again["ids"] == [1 if refusal else 2]
    assert small().call("feature_get_stats")["total"] == again["ids"][0]


def test_a_limit_on_the_size_of_files_loses_nothing_either(db: str, start: StartServer) -> None:
    """A write that the system rejects for another reason is refused, and all earlier writes stay."""
    server = start(prefix=["prlimit", "--fsize=600000"])
    acknowledged, refusal = create_until_full(server)
    assert isinstance(refusal, DiskFull | OutcomeUnknown), refusal
    assert len(acknowledged) > 5
    assert_there(server, acknowledged)
    server.kill()
    unlimited = start()
    assert_there(unlimited, acknowledged)
    assert unlimited.call("feature_create", name="more", **TEXT)["ids"] == [len(acknowledged) + 1]
