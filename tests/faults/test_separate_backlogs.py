"""Separate backlogs do not affect each other, in one file or in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from dibs_schema.refusals import NotFound
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

FEATURE = {"category": "c", "description": "d", "steps": ["s"]}


@pytest.fixture(params=["two projects in one file", "two files"])
def pair(request: pytest.FixtureRequest, start: StartServer, tmp_path: Path) -> tuple[ServerClient, ServerClient]:
    """Two servers, each with its own backlog, and with the same agent name."""
    if request.param == "two files":
        return start("--agent", "ada"), start("--agent", "ada", on=tmp_path / "other.db")
    return start("--agent", "ada", "--project", "one"), start("--agent", "ada", "--project", "two")


def test_what_happens_in_one_backlog_is_not_seen_in_the_other(
    pair: tuple[ServerClient, ServerClient],
) -> None:
    """Numbers, claims, names, request ids and searches of one backlog mean nothing in another."""
    one, two = pair
    assert one.call("feature_create", name="first", request_id="r", **FEATURE)["ids"] == [1]
    assert two.call("feature_get_stats")["total"] == 0
    assert two.call("feature_claim_and_get")["state"] == "empty"
    assert isinstance(two.refusal("feature_get_by_id", feature_id=1), NotFound)
    assert two.call("feature_create", name="second", request_id="r", **FEATURE)["ids"] == [1]
    claims = [server.call("feature_claim_and_get") for server in pair]
    assert [claim["feature"]["name"] for claim in claims] == ["first", "second"]
    foreign = claims[0]["claim"]["token"]
    assert two.refusal("feature_mark_passing", feature_id=1, claim_token=foreign) is not None
    assert one.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    assert two.call("feature_get_by_id", feature_id=1)["status"] == "in_progress"
    assert two.call("feature_search", text="first")["total"] == 0
    assert one.call("feature_claim_and_get")["state"] == "complete"


def test_the_end_of_one_server_releases_nothing_of_the_other(pair: tuple[ServerClient, ServerClient]) -> None:
    """Claims are released only in the backlog where they were made."""
    one, two = pair
    for server in pair:
        server.call("feature_create", name="n", **FEATURE)
        server.call("feature_claim_and_get")
    assert one.finish() == 0
    assert two.call("feature_get_by_id", feature_id=1)["status"] == "in_progress"
    assert two.call("feature_mark_passing", feature_id=1)["status"] == "passing"
