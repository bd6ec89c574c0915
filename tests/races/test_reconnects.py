"""An agent whose server ends and starts again goes on with its claim, unless somebody has claimed the feature since."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import Any

import pytest

from dibs.database import Database
from dibs_schema.refusals import ClaimLost
from races.backlog import assert_sound, eventually, fill, kinds, row, rule, times
from races.servers import ServerClient, StartServer, up

LEASE = 2.0

CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "feature_heartbeat": ({}, "in_progress"),
    "feature_mark_passing": ({}, "passing"),
    "feature_mark_failing": ({"reason": "it breaks"}, "pending"),
    "feature_skip": ({"reason": "later"}, "pending"),
    "feature_clear_in_progress": ({}, "pending"),
    "feature_request_human_input": (
        {"prompt": "Which?", "fields": [{"id": "colour", "label": "Colour"}]},
        "needs_human",
    ),
}
"""The calls that carry a token, and the status that each leads to."""


def claim(server: ServerClient, feature: int = 1) -> str:
    """Claim a feature, and return the token."""
    return str(server.call("feature_claim_and_get", feature_id=feature)["claim"]["token"])


@pytest.mark.parametrize(
    ("number", "name"),
    [(None, ()), (None, ("--agent", "ada")), (signal.SIGTERM, ()), (signal.SIGHUP, ("--agent", "ada"))],
    ids=["input closed, nameless", "input closed, named", "SIGTERM, nameless", "SIGHUP, named"],
)
def test_every_call_with_the_old_token_goes_on_with_the_claim(
    database: Database, start: StartServer, number: signal.Signals | None, name: tuple[str, ...]
) -> None:
    """A server's end is no attempt and no failure, and the token works on the next server as if nothing had happened."""
    fill(database, len(CALLS))
    rule(database, "max_claims", len(CALLS))
    first = start(*name)
    tokens = [claim(first, feature) for feature in range(1, len(CALLS) + 1)]
    holder = row(database, 1)["claimed_by"]
    if number is not None:
        first.kill(number)
        assert first.status() == 0
    else:
        assert first.finish() == 0
    second = start(*name)
    for feature, (token, (tool, (more, status))) in enumerate(zip(tokens, CALLS.items(), strict=True), start=1):
        assert (row(database, feature)["status"], row(database, feature)["attempts"]) == ("pending", 0)
        answer = second.call(tool, feature_id=feature, claim_token=token, **more)
        assert answer["status"] == status, tool
        after = row(database, feature)
        if tool == "feature_clear_in_progress":  # that is what the connection's end has done
            assert (kinds(database, feature), after["attempts"]) == (["create", "claim", "release"], 0)
            continue
        last = [] if tool == "feature_heartbeat" else [after["ended_by"]]
        assert kinds(database, feature) == ["create", "claim", "release", "resume", *last]
        assert after["attempts"] == (0 if status == "passing" else 1)
        assert after["failures"] == (tool == "feature_mark_failing")
        if status == "in_progress":
            assert after["claimed_by"] == holder
            assert second.call("feature_mark_passing", feature_id=feature)["status"] == "passing"
    assert_sound(database)


def test_the_next_server_renews_the_claim_and_releases_it(database: Database, start: StartServer) -> None:
    """A claim that was regained outlives its lease on the new connection, returns at that one's end, and so on."""
    rule(database, "max_attempts", 2)
    fill(database, 1)
    server = start("--lease", f"{LEASE}")
    token = claim(server)
    for _ in range(3):
        server.finish()
        server = start("--lease", f"{LEASE}")
        server.call("feature_heartbeat", feature_id=1, claim_token=token)
    time.sleep(1.5 * LEASE)
    assert row(database, 1)["claim_token"] == token
    again = server.call("feature_claim_and_get", feature_id=1)
    assert (again["already_claimed"], again["claim"]["token"]) == (True, token)
    server.finish()
    assert (row(database, 1)["status"], row(database, 1)["attempts"]) == ("pending", 0)


@pytest.mark.parametrize("given_back", [False, True])
def test_a_token_that_was_overtaken_stays_lost(database: Database, start: StartServer, given_back: bool) -> None:
    """Once somebody has claimed the feature, the old token changes nothing, also after that claim has ended."""
    fill(database, 1)
    first, other = start(), start()
    token = claim(first)
    first.finish()
    claim(other)
    if given_back:
        other.call("feature_clear_in_progress", feature_id=1)
    before = row(database, 1)
    second = start()
    for tool, (more, _) in CALLS.items():
        if tool == "feature_clear_in_progress":
            continue  # a repeated release is acknowledged: the connection's end has made it
        assert isinstance(second.refusal(tool, feature_id=1, claim_token=token, **more), ClaimLost), tool
    assert {name: row(database, 1)[name] for name in ("status", "claim_token")} == {
        name: before[name] for name in ("status", "claim_token")
    }


def test_finished_work_is_taken_although_the_agent_has_gone_on(database: Database, start: StartServer) -> None:
    """A name that has claimed another feature cannot keep the earlier one too, but can still pass it."""
    fill(database, 2)
    first = start("--agent", "ada")
    token = claim(first, 1)
    first.finish()
    second = start("--agent", "ada")
    claim(second, 2)
    assert isinstance(second.refusal("feature_heartbeat", feature_id=1, claim_token=token), ClaimLost)
    assert second.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"
    assert row(database, 2)["status"] == "in_progress"
    assert_sound(database)


def test_a_killed_servers_claim_stays_lost(database: Database, start: StartServer) -> None:
    """A lease that expired counts as a failure, and its token is refused."""
    fill(database, 1)
    killed, other = up(start("--lease", "1"), start("--lease", "1"))
    token = claim(killed)
    killed.kill()
    eventually(lambda: row(database, 1)["status"] == "pending")
    assert row(database, 1)["failures"] == 1
    assert isinstance(other.refusal("feature_heartbeat", feature_id=1, claim_token=token), ClaimLost)


def test_resume_brings_the_feature_that_the_name_held_last(database: Database, start: StartServer) -> None:
    """A name that resumes after its server has ended receives its last feature, not the first of the queue."""
    fill(database, 3)
    first = start("--agent", "ada")
    claim(first, 2)
    first.finish()
    second = start("--agent", "ada")
    assert second.call("feature_claim_and_get", resume=True)["feature"]["id"] == 2
    second.call("feature_clear_in_progress", feature_id=2)
    assert second.call("feature_claim_and_get", resume=True)["feature"]["id"] == 1, "it gave the other back itself"


def test_either_the_token_or_a_new_claim_wins(database: Database, start: StartServer) -> None:
    """Where a reconnected agent and seven others race for its feature, exactly one of them has it afterwards."""
    servers = up(*(start() for _ in range(8)))
    wins: Counter[str] = Counter()
    rounds = times(10, 16)
    fill(database, rounds)
    gone = start()
    tokens = [claim(gone, feature) for feature in range(1, rounds + 1)]
    gone.finish()
    owner, *others = servers
    for feature, token in enumerate(tokens, start=1):
        sent = [(owner, owner.send("feature_heartbeat", feature_id=feature, claim_token=token))]
        sent += [(other, other.send("feature_claim_and_get", feature_id=feature)) for other in others]
        answers = [server.message(request)["result"] for server, request in sent]
        winners = [number for number, answer in enumerate(answers) if not answer.get("isError")]
        assert len(winners) == 1, answers
        wins["token" if winners == [0] else "claim"] += 1
        held = row(database, feature)["claim_token"]
        assert (held == token) == (winners == [0])
        servers[winners[0]].call("feature_mark_passing", feature_id=feature, claim_token=held)
    assert wins.total() == rounds
    assert_sound(database)
