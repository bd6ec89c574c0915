"""Many processes claim the same features: each feature has one holder."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from dibs.database import Database
from dibs_schema.refusals import AlreadyHolding, ClaimLost, RequestReused
from races.backlog import assert_sound, events_of, fill, kinds, row, rule, times
from races.servers import ServerClient, StartServer, up

PROCESSES = 8
FEATURES = times(60, 400)


def test_each_feature_that_eight_processes_claim_by_id_has_exactly_one_winner(
    database: Database, start: StartServer
) -> None:
    """Of eight claims on one id, one is acknowledged, and the losers learn nothing of the feature."""
    fill(database, FEATURES)
    rule(database, "max_claims_per_connection", FEATURES)
    servers = [start() for _ in range(PROCESSES)]

    def claim_all(number: int) -> list[tuple[int, str]]:
        order = random.Random(number).sample(range(1, FEATURES + 1), FEATURES)
        return [(feature, _try(servers[number], feature)) for feature in order]

    with ThreadPoolExecutor(PROCESSES) as pool:
        won = [win for wins in pool.map(claim_all, range(PROCESSES)) for win in wins if win[1]]
    assert Counter(feature for feature, _ in won) == Counter(range(1, FEATURES + 1))
    claims = [event["feature_id"] for event in events_of(database) if event["kind"] == "claim"]
    assert sorted(claims) == list(range(1, FEATURES + 1))
    assert all(row(database, feature)["claim_token"] == token for feature, token in won)
    assert_sound(database)


def _try(server: ServerClient, feature: int) -> str:
    """Return the token of a claim, or an empty string if another agent has the feature."""
    result = server.message(server.send("feature_mark_in_progress", feature_id=feature))["result"]
    content = result["structuredContent"]
    if not result.get("isError"):
        return str(content["token"])
    assert content["error"]["code"] == "already_claimed"
    assert content["error"]["id"] == feature
    assert set(content["error"]) == {"code", "message", "retryable", "id", "holder", "since"}
    assert "secret" not in json.dumps(result)
    return ""


def test_eight_processes_drain_a_graph_in_an_order_that_respects_it(database: Database, start: StartServer) -> None:
    """Each feature is claimed once, after everything that it depends on has passed."""
    chance = random.Random(7)
    needs = [chance.sample(range(n), min(n, chance.randrange(5))) for n in range(FEATURES)]
    fill(database, FEATURES, needs)

    deadline = time.monotonic() + 60

    def work(server: ServerClient) -> None:
        while (answer := server.call("feature_claim_and_get", wait_seconds=10))["state"] != "complete":
            assert time.monotonic() < deadline, answer
            if answer["state"] == "claimed":
                server.call(
                    "feature_mark_passing",
                    feature_id=answer["feature"]["id"],
                    claim_token=answer["claim"]["token"],
                )

    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, [start() for _ in range(PROCESSES)]))
    passed: set[int] = set()
    claimed: Counter[int] = Counter()
    for event in events_of(database):
        feature = event["feature_id"]
        if event["kind"] == "claim":
            claimed[feature] += 1
            assert {need + 1 for need in needs[feature - 1]} <= passed
        elif event["kind"] == "pass":
            passed.add(feature)
    assert claimed == Counter(range(1, FEATURES + 1))
    assert passed == set(range(1, FEATURES + 1))
    assert_sound(database)


def test_two_names_never_hold_more_than_their_share(database: Database, start: StartServer) -> None:
    """However many processes claim under one name at once, it holds one feature."""
    fill(database, 20)
    servers = up(*[start("--agent", "ada") for _ in range(4)])
    asked = [(server, server.send("feature_claim_and_get")) for server in servers for _ in range(3)]
    answers = [server.message(request)["result"] for server, request in asked]
    claims = [answer["structuredContent"] for answer in answers if not answer.get("isError")]
    assert len(claims) == 3, "the connection that has claimed receives its claim again"
    assert sum("already_claimed" not in claim for claim in claims) == 1
    assert len({claim["claim"]["token"] for claim in claims}) == 1
    refused = [answer["structuredContent"]["error"]["code"] for answer in answers if answer.get("isError")]
    assert set(refused) == {"already_holding"}
    assert sum(event["kind"] == "claim" for event in events_of(database)) == 1


def test_resume_moves_a_claim_to_the_process_that_asks(database: Database, start: StartServer) -> None:
    """A resumed claim has a fresh token; its first process neither renews, ends nor releases it."""
    fill(database, 1)
    first, second = start("--agent", "ada", "--lease", "3"), start("--agent", "ada", "--lease", "300")
    old = first.call("feature_claim_and_get")["claim"]["token"]
    assert isinstance(second.refusal("feature_claim_and_get", resume=True), AlreadyHolding), "the first one lives"
    new = second.call("feature_claim_and_get", resume=True, force=True)["claim"]["token"]
    assert new != old
    lease = row(database, 1)["lease_ends"]
    with pytest.raises(ClaimLost) as lost:
        first.call("feature_mark_passing", feature_id=1, claim_token=old)
    assert lost.value.details["holder"] == "ada"
    for tool in ("feature_heartbeat", "feature_clear_in_progress"):
        assert isinstance(first.refusal(tool, feature_id=1), ClaimLost)
    assert isinstance(first.refusal("feature_mark_failing", feature_id=1, reason="late"), ClaimLost)
    assert first.finish() == 0
    there = row(database, 1)
    assert (there["claim_token"], there["lease_ends"]) == (new, lease)
    assert kinds(database, 1) == ["create", "claim", "resume"]
    assert second.call("feature_mark_passing", feature_id=1, claim_token=new)["status"] == "passing"


def test_the_end_of_a_process_that_knows_nothing_of_the_resume_releases_nothing(
    database: Database, start: StartServer
) -> None:
    """A claim that another process has taken over stays there when its first process releases its claims."""
    fill(database, 1)
    first, second = up(start("--agent", "ada"), start("--agent", "ada"))
    first.call("feature_claim_and_get")
    token = second.call("feature_claim_and_get", resume=True, force=True)["claim"]["token"]
    assert first.finish() == 0
    assert row(database, 1)["claim_token"] == token
    assert kinds(database, 1) == ["create", "claim", "resume"]


def test_a_dead_process_gives_way_to_a_resume_at_once(database: Database, start: StartServer) -> None:
    """A name goes on at once after its server was killed: on one machine its process shows that it is dead."""
    fill(database, 1)
    first, second = up(start("--agent", "ada"), start("--agent", "ada"))
    first.call("feature_claim_and_get")
    first.kill()
    first.status()
    assert second.call("feature_claim_and_get", resume=True)["feature"]["id"] == 1


def test_one_request_id_from_six_processes_creates_one_feature(database: Database, start: StartServer) -> None:
    """The same request from many processes at once takes effect once, with one answer."""
    servers = up(*[start() for _ in range(6)])
    feature = {"category": "c", "name": "n", "description": "d", "steps": ["s"], "request_id": "once"}
    for server, request in [(server, server.send("feature_create", **feature)) for server in servers]:
        assert server.answer(request) == {"ids": [1], "count": 1}
    assert [event["kind"] for event in events_of(database)] == ["create"]
    reused = servers[0].refusal("feature_create", **feature | {"name": "other"})
    assert isinstance(reused, RequestReused)
    assert [event["kind"] for event in events_of(database)] == ["create"]


def test_one_request_id_from_six_processes_makes_one_claim(database: Database, start: StartServer) -> None:
    """A repeated claim has the same token everywhere, until that token has ended."""
    fill(database, 10)
    servers = up(*[start() for _ in range(6)])
    wanted = {"agent": "ada", "request_id": "once"}
    asked = [(server, server.send("feature_claim_and_get", **wanted)) for server in servers]
    answers = [server.answer(request) for server, request in asked]
    (token,) = {answer["claim"]["token"] for answer in answers}
    (feature,) = {answer["feature"]["id"] for answer in answers}
    assert sum(event["kind"] == "claim" for event in events_of(database)) == 1
    other = servers[1].refusal("feature_claim_and_get", **wanted, category="races")
    assert isinstance(other, RequestReused)
    servers[2].call("feature_mark_passing", feature_id=feature, claim_token=token)
    assert isinstance(servers[3].refusal("feature_claim_and_get", **wanted), ClaimLost)
    assert sum(event["kind"] == "claim" for event in events_of(database)) == 1
