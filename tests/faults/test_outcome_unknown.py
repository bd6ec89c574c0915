"""If the connection breaks around a commit, the outcome is unknown, and repeating the call settles it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusters.cluster import PASSWORD, Cluster
from clusters.shared import Server, fresh_database
from dibs.database import Database
from dibs.database.postgres.session import READING, WRITING
from dibs.rules.claimant import Holder
from dibs.verbs.claim import claim
from dibs_schema.refusals import OutcomeUnknown
from faults.servers import NEW, opened
from proxies import CuttingProxy
from races.backlog import assert_sound, events_of, eventually, fill, kinds, row, times
from races.servers import ServerClient, StartServer, serving

BEGIN, MOVE, COMMIT = WRITING.encode(), b"UPDATE features", b"COMMIT"
CLAIM = MOVE + b" SET status='in_progress'"  # no renewal of a lease, which could happen in between
BATCH = {"features": [{**NEW, "name": name} for name in ("one", "two")]}


@pytest.fixture
def db(postgres: Server, migrated: str) -> Iterator[str]:
    """A fresh database on the shared server."""
    with fresh_database(postgres, migrated) as url:
        yield url


@pytest.fixture
def proxy(db: str) -> Iterator[CuttingProxy]:
    """The proxy between the servers and the database; the tests connect directly."""
    with CuttingProxy(db) as started:
        yield started


@pytest.fixture
def start(db: str, proxy: CuttingProxy) -> Iterator[StartServer]:
    """Start servers that reach the database through the proxy."""
    with serving(proxy.url(db)) as starter:
        yield starter


def doubtful(server: ServerClient, tool: str, **arguments: Any) -> OutcomeUnknown:
    """Return the refusal of a call whose connection breaks in its commit; it has a next step and no secret."""
    result = server.message(server.send(tool, **arguments))["result"]
    error = result["structuredContent"]["error"]
    assert result["isError"], result
    assert error["code"] == "outcome_unknown", error
    assert error["retryable"]
    assert "request_id or claim_token" in error["message"]
    assert PASSWORD not in str(result)
    return OutcomeUnknown(error["message"])


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
def test_a_pass_in_doubt_is_settled_by_its_token(
    database: Database, proxy: CuttingProxy, start: StartServer, *, committed: bool
) -> None:
    """A repeated pass is acknowledged once, whether the server received the COMMIT or not."""
    fill(database, 2, [[], [0]])
    server = start().ready()
    token = server.call("feature_claim_and_get")["claim"]["token"]
    cut = (proxy.cut_after if committed else proxy.cut_before)(COMMIT, since=BEGIN)
    doubtful(server, "feature_mark_passing", feature_id=1, claim_token=token)
    cut.wait()
    assert row(database, 1)["status"] == ("passing" if committed else "in_progress")
    for _ in range(2):
        done = server.call("feature_mark_passing", feature_id=1, claim_token=token)
        assert (done["status"], done["unblocked"]) == ("passing", [2])
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert_sound(database)


@pytest.mark.parametrize(
    ("tool", "more", "kind"),
    [
        ("feature_mark_failing", {"reason": "broken"}, "fail"),
        ("feature_skip", {"reason": "later"}, "skip"),
        ("feature_clear_in_progress", {}, "release"),
    ],
)
def test_every_move_in_doubt_is_settled_by_its_token(
    database: Database, proxy: CuttingProxy, start: StartServer, tool: str, more: dict[str, Any], kind: str
) -> None:
    """Each write is settled, even without the token, because the server remembers it."""
    fill(database, 1)
    server = start().ready()
    server.call("feature_claim_and_get")
    proxy.cut_after(COMMIT, since=BEGIN)
    doubtful(server, tool, feature_id=1, **more)
    first = server.call(tool, feature_id=1, **more)
    assert first == server.call(tool, feature_id=1, **more)
    assert kinds(database, 1) == ["create", "claim", kind]
    assert_sound(database)


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        (BEGIN, False),
        (MOVE, False),
        (MOVE, True),
        (b"INSERT INTO events", True),
    ],
)
def test_what_breaks_before_the_commit_is_repeated_in_silence(
    database: Database, proxy: CuttingProxy, start: StartServer, text: bytes, *, answered: bool
) -> None:
    """Nothing was applied, so the server repeats the write once, and the client does not notice."""
    fill(database, 1)
    server = start().ready()
    server.call("feature_claim_and_get")
    cut = (proxy.cut_after if answered else proxy.cut_before)(text)
    assert server.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    cut.wait()
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert_sound(database)


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("tool", "arguments", "count"), [("feature_create", NEW, 1), ("feature_create_bulk", BATCH, 2)]
)
def test_a_creation_in_doubt_is_settled_by_its_request_id(
    database: Database,
    proxy: CuttingProxy,
    start: StartServer,
    tool: str,
    arguments: dict[str, Any],
    count: int,
    *,
    committed: bool,
) -> None:
    """The same request gives the same ids, even from another server, and creates nothing twice."""
    server, other = start().ready(), start().ready()
    cut = (proxy.cut_after if committed else proxy.cut_before)(COMMIT, since=BEGIN)
    doubtful(server, tool, **arguments, request_id="once")
    cut.wait()
    assert len(events_of(database)) == (count if committed else 0)
    for one in (server, other, server):
        assert one.call(tool, **arguments, request_id="once")["ids"] == list(range(1, count + 1))
    assert [event["kind"] for event in events_of(database)] == ["create"] * count


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("who", [{"agent": "ada"}, {}], ids=["named", "nameless"])
def test_a_claim_in_doubt_is_settled_by_its_request_id(
    database: Database, proxy: CuttingProxy, start: StartServer, who: dict[str, str], *, committed: bool
) -> None:
    """The same request returns the claim that was made, and its lease is renewed from then on."""
    fill(database, 2)
    server = start("--lease", "6").ready()
    asked = {**who, "request_id": "once"}
    cut = (proxy.cut_after if committed else proxy.cut_before)(COMMIT, since=CLAIM)
    doubtful(server, "feature_claim_and_get", **asked)
    cut.wait()
    made = row(database, 1)["claim_token"]
    assert (made is not None) is committed
    answers = [server.call("feature_claim_and_get", **asked) for _ in range(2)]
    (token,) = {answer["claim"]["token"] for answer in answers}
    assert made in (None, token)
    ends = row(database, 1)["lease_ends"]
    eventually(lambda: row(database, 1)["lease_ends"] > ends)
    assert kinds(database, 1) == ["create", "claim"]
    assert kinds(database, 2) == ["create"]


def test_a_claim_in_doubt_of_a_name_is_taken_over_by_resume(
    database: Database, proxy: CuttingProxy, start: StartServer
) -> None:
    """A take-over with an unknown outcome is repeated, and not released."""
    fill(database, 2)
    server = start("--agent", "ada").ready()
    server.call("feature_claim_and_get")
    proxy.cut_after(COMMIT, since=MOVE)
    doubtful(server, "feature_claim_and_get", resume=True)
    token = server.call("feature_claim_and_get", resume=True)["claim"]["token"]
    assert row(database, 1)["claim_token"] == token
    assert kinds(database, 1) == ["create", "claim", "resume", "resume"]
    assert kinds(database, 2) == ["create"]


def given_back(database: Database, feature: int) -> bool:
    """Return whether the feature is ready again, and the undelivered claim counts as no attempt."""
    there = row(database, feature)
    return (there["status"], there["attempts"], there["failures"]) == ("pending", 0, 0)


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
def test_a_claim_of_the_next_in_doubt_is_given_back(
    database: Database, proxy: CuttingProxy, start: StartServer, *, committed: bool
) -> None:
    """An undelivered claim without a request_id is released at once."""
    fill(database, 3)
    server = start().ready()
    server.call("feature_claim_and_get")  # from now on a claim is one statement
    cut = (proxy.cut_after if committed else proxy.cut_before)(CLAIM)
    doubtful(server, "feature_claim_and_get")
    cut.wait()
    again = server.call("feature_claim_and_get")
    assert again["feature"]["id"] == 2
    assert server.call("feature_claim_and_get")["feature"]["id"] == 3
    assert kinds(database, 2) == ["create", *["claim", "release"] * committed, "claim"]
    assert row(database, 2)["attempts"] == 1
    assert_sound(database)


@pytest.mark.parametrize(
    ("flags", "tool", "arguments"),
    [
        (["--agent", "ada"], "feature_claim_and_get", {}),
        ([], "feature_claim_and_get", {"feature_id": 1}),
        ([], "feature_mark_in_progress", {"feature_id": 1}),
    ],
    ids=["named", "by id", "brief"],
)
def test_every_claim_in_doubt_is_given_back(
    database: Database,
    proxy: CuttingProxy,
    start: StartServer,
    flags: list[str],
    tool: str,
    arguments: dict[str, Any],
) -> None:
    """After that, the same call makes a new claim, which is renewed like any other."""
    fill(database, 1)
    server = start(*flags).ready()
    cut = proxy.cut_after(COMMIT, since=CLAIM)
    doubtful(server, tool, **arguments)
    cut.wait()
    eventually(lambda: given_back(database, 1))
    server.call(tool, **arguments)
    assert kinds(database, 1) == ["create", "claim", "release", "claim"]
    assert_sound(database)


def test_a_claim_in_doubt_is_given_back_after_an_outage(
    database: Database, proxy: CuttingProxy, start: StartServer
) -> None:
    """Nothing is forgotten while the database cannot be reached."""
    fill(database, 2)
    server = start("--patience", "1").ready()
    server.call("feature_claim_and_get")
    cut = proxy.cut_after(CLAIM)
    proxy.stop_accepting()
    doubtful(server, "feature_claim_and_get")
    cut.wait()
    assert server.refusal("feature_create", **NEW) is not None
    assert row(database, 2)["status"] == "in_progress"
    proxy.accept()
    eventually(lambda: given_back(database, 2))


def test_a_claim_in_doubt_whose_server_died_runs_out(
    database: Database, proxy: CuttingProxy, start: StartServer
) -> None:
    """No server renews the claim, so it ends with its lease at the latest."""
    fill(database, 2)
    server, other = start("--lease", "2").ready(), start().ready()
    server.call("feature_claim_and_get")
    proxy.cut_after(CLAIM)
    proxy.stop_accepting()
    doubtful(server, "feature_claim_and_get")
    proxy.accept()
    server.kill()
    assert {other.call("feature_claim_and_get", wait_seconds=20)["feature"]["id"] for _ in range(2)} == {1, 2}


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
def test_a_reaper_in_doubt_keeps_nobody_from_claiming(
    database: Database, proxy: CuttingProxy, start: StartServer, *, committed: bool
) -> None:
    """A broken connection while a claim reaps does not affect the claim, because reaping can be repeated."""
    fill(database, 2)
    server = start().ready()
    dead = Holder("dead", named=True, session="gone", lease=0.001)
    database.write_now(lambda tx: claim(tx, dead, 1))
    cut = (proxy.cut_after if committed else proxy.cut_before)(COMMIT, since=BEGIN)
    claimed = server.call("feature_claim_and_get")["feature"]["id"]
    cut.wait()
    assert claimed == (1 if committed else 2), "who has just lost its connection judges nobody for a while"
    assert kinds(database, 1) == ["create", "claim", *["expire", "claim"] * committed]


def test_a_look_for_expired_leases_that_breaks_is_repeated_in_silence(
    database: Database, proxy: CuttingProxy, start: StartServer
) -> None:
    """A failed check for claims to reap is no doubt about the claim, which had not begun."""
    fill(database, 1)
    server = start().ready()
    cut = proxy.cut_before(READING.encode())
    assert server.call("feature_claim_and_get")["feature"]["id"] == 1
    cut.wait()
    assert kinds(database, 1) == ["create", "claim"]


def test_a_commit_that_no_standby_confirms_is_in_doubt(tmp_path: Path) -> None:
    """A server that stops waiting for its standby reports a commit, but Dibs reports an unknown outcome."""
    with Cluster(tmp_path / "primary") as primary:
        standby = primary.standby()
        with opened(primary.url()) as database, serving(primary.url()) as start:
            fill(database, 1)
            server = start("--patience", "1").ready()
            token = server.call("feature_claim_and_get")["claim"]["token"]
            standby.kill()
            asked = {"feature_id": 1, "claim_token": token}
            for _ in range(times(1, 2)):  # a repeated move waits for the standby as long as the first: 11 s
                assert "No standby" in doubtful(server, "feature_mark_passing", **asked).message
            standby.start()
            primary.wait_in_sync()
            assert server.call("feature_mark_passing", **asked)["status"] == "passing"
            assert kinds(database, 1) == ["create", "claim", "pass"]
