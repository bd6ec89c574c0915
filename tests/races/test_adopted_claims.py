"""A server that was started with the token of a claim serves that claim, and no other."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dibs.database import Database
from dibs_schema.refusals import ClaimLost, Forbidden
from races.backlog import assert_sound, events_of, eventually, fill, kinds, row, rule, times
from races.servers import ServerClient, StartServer, up

LEASE = 2.0
OUTCOMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "feature_mark_passing": ({}, "passing", "it passed"),
    "feature_mark_failing": ({"reason": "it breaks"}, "pending", "it failed"),
    "feature_skip": ({"reason": "later"}, "pending", "it was skipped"),
    "feature_clear_in_progress": ({}, "pending", "it was released"),
    "feature_request_human_input": (
        {"prompt": "Which?", "fields": [{"id": "colour", "label": "Colour"}]},
        "needs_human",
        "a person was asked",
    ),
}
"""The calls that end a claim, each with its arguments, the feature's status afterwards, and what a refusal says."""


def claim(server: ServerClient, feature: int = 1, **more: Any) -> str:
    """Claim a feature, and return the token."""
    return str(server.call("feature_claim_and_get", feature_id=feature, **more)["claim"]["token"])


def hand_over(database: Database, feature: int = 1, agent: str = "ada") -> str:
    """Make a claim that no connection renews, as a shell does, and return its token."""
    from dibs.rules.claimant import Holder
    from dibs.verbs.claim import claim as verb

    holder = Holder(name=agent, named=True, session=None, lease=60)
    answer = database.write_now(lambda tx: verb(tx, holder, feature))
    return str(answer.claim.token)  # type: ignore[union-attr]  # it is not idle


@pytest.mark.parametrize("tool", OUTCOMES)
def test_an_agent_does_what_it_was_started_for_and_nothing_else(
    database: Database, start: StartServer, tool: str
) -> None:
    """It receives its claim with each claiming tool, ends it without a token, and is then told to stop."""
    more, status, word = OUTCOMES[tool]
    fill(database, 3)
    token = hand_over(database, 2)
    server = start(DIBS_CLAIM=token)
    for arguments in (
        {},
        {"feature_id": 2},
        {"category": "races"},
        {"resume": True, "agent": "bob", "wait_seconds": 9},
    ):
        again = server.call("feature_claim_and_get", **arguments)
        assert (again["state"], again["already_claimed"], again["claim"]["token"]) == ("claimed", True, token)
        assert again["feature"]["name"] == "secret name 1"
    assert server.call("feature_mark_in_progress", feature_id=2)["token"] == token
    for arguments in ({"feature_id": 1}, {"category": "other"}):
        refused = server.refusal("feature_claim_and_get", **arguments)
        assert isinstance(refused, Forbidden)
        assert refused.details["id"] == 2
        assert "feature 2 (secret name 1)" in refused.message
        assert "secret name 0" not in refused.message
    assert isinstance(server.refusal("feature_mark_in_progress", feature_id=3), Forbidden)
    assert server.call("feature_heartbeat", feature_id=2)["status"] == "in_progress"
    server.call("feature_add_note", feature_id=2, text="half done")
    assert events_of(database, 2)[-1]["agent"] == "ada", "the claim keeps its holder's name"
    ended = server.call(tool, feature_id=2, **more)
    assert ended["status"] == status
    assert "your work is done, stop" in ended["hint"]
    assert "feature_claim_and_get" not in ended["hint"]
    for arguments in ({}, {"feature_id": 2}, {"feature_id": 1}, {"wait_seconds": 30}):
        began = time.monotonic()
        refused = server.refusal("feature_claim_and_get", **arguments)
        assert isinstance(refused, Forbidden)
        assert time.monotonic() - began < 10, "there is nothing to wait for"
        assert f"feature 2, and its claim has ended: {word}" in refused.message
    assert server.call("feature_get_stats")["total"] == 3
    server.finish()
    assert row(database, 2)["status"] == status
    assert {row(database, one)["status"] for one in (1, 3)} == {"pending"}
    assert_sound(database)


def test_a_claim_is_renewed_from_the_servers_start_and_released_at_its_end(
    database: Database, start: StartServer
) -> None:
    """An agent that reads for a while keeps its claim; one that ends gives it back, which counts as an attempt."""
    fill(database, 1)
    token = hand_over(database)
    server = start("--lease", f"{LEASE}", DIBS_CLAIM=token)
    server.ready()
    first = row(database, 1)["lease_expires_at"]
    eventually(lambda: row(database, 1)["lease_expires_at"] > first + LEASE / 3)
    server.call("feature_heartbeat", feature_id=1)
    time.sleep(1.5 * LEASE)
    assert row(database, 1)["claim_token"] == token
    assert server.finish() == 0
    assert (row(database, 1)["status"], row(database, 1)["attempts"]) == ("pending", 1)
    assert kinds(database, 1) == ["create", "claim", "release"]


def test_agents_that_end_without_an_outcome_come_to_an_end(database: Database, start: StartServer) -> None:
    """An orchestrator that starts an agent for a feature again and again finds it stuck after `max_attempts`."""
    fill(database, 1)
    rule(database, "max_attempts", 2)
    for status in ("pending", "stuck"):
        agent = start(DIBS_CLAIM=hand_over(database))
        agent.call("feature_heartbeat", feature_id=1)
        agent.finish()
        assert row(database, 1)["status"] == status
    assert_sound(database)


def test_a_server_that_is_only_tried_takes_nothing_away(database: Database, start: StartServer) -> None:
    """A client that starts a server to list its tools, or to read, leaves the claim to the agent's own server."""
    fill(database, 2)
    token = hand_over(database)
    for _ in range(2):
        tried = start(DIBS_CLAIM=token)
        tried.call("feature_get_stats")
        tried.finish()
        assert row(database, 1)["claim_token"] == token
    agent = start(DIBS_CLAIM=token)
    agent.call("feature_claim_and_get")
    second = start(DIBS_CLAIM=token)
    assert second.call("feature_claim_and_get")["claim"]["token"] == token
    second.finish()
    assert row(database, 1)["claim_token"] == token, "the first server has the claim, and lives"
    agent.finish()
    assert row(database, 1)["status"] == "pending"


def test_the_claim_of_a_live_connection_stays_its_own(database: Database, start: StartServer) -> None:
    """An agent that claims over MCP and starts another with its token keeps the claim when that one ends."""
    fill(database, 1)
    lead = start("--agent", "lead")
    token = claim(lead)
    worker = start("--lease", f"{LEASE}", DIBS_CLAIM=token)
    assert worker.call("feature_claim_and_get")["claim"]["token"] == token
    worker.finish()
    assert row(database, 1)["claim_token"] == token
    again = start(DIBS_CLAIM=token)
    again.call("feature_heartbeat", feature_id=1)
    lead.finish()
    assert row(database, 1)["status"] == "pending"
    assert again.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    assert row(database, 1)["passed_by"] == "lead"


@pytest.mark.parametrize("killed", [True, False])
def test_a_server_that_is_started_again_goes_on(database: Database, start: StartServer, killed: bool) -> None:
    """The agent's next server with the same token has the claim, after a kill at once, and after an end if it is free."""
    fill(database, 1)
    token = hand_over(database)
    for _ in range(3):
        server = start(DIBS_CLAIM=token)
        assert server.call("feature_claim_and_get")["claim"]["token"] == token
        server.kill() if killed else server.finish()
    last = start("--lease", f"{LEASE}", DIBS_CLAIM=token)
    last.call("feature_add_note", feature_id=1, text="back again")
    time.sleep(1.5 * LEASE)
    assert (row(database, 1)["claim_token"], row(database, 1)["attempts"]) == (token, 1)
    assert last.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    assert row(database, 1)["failures"] == 0
    assert_sound(database)


def test_a_killed_agent_that_never_returns_loses_the_claim(database: Database, start: StartServer) -> None:
    """The lease runs out, the next agent gets the feature, and a server that comes too late is told to stop."""
    fill(database, 2)
    token = hand_over(database)
    server, other = start("--lease", "1", DIBS_CLAIM=token), start("--lease", "1")
    server.call("feature_claim_and_get")
    server.kill()
    other.ready()
    eventually(lambda: row(database, 1)["status"] == "pending")
    rule(database, "back_off", 0)
    late = start(DIBS_CLAIM=token)
    refused = late.refusal("feature_claim_and_get")
    assert isinstance(refused, ClaimLost)
    assert (refused.details["id"], refused.details["status"]) == (1, "pending")
    newer = claim(other)
    for tool, (more, _, _) in OUTCOMES.items():
        refused = late.refusal(tool, feature_id=1, **more)
        assert isinstance(refused, ClaimLost), tool
        assert "feature_claim_and_get" not in refused.message
    told = late.refusal("feature_claim_and_get")
    assert isinstance(told, ClaimLost)
    assert told.details["holder"] == row(database, 1)["claimed_by"]
    assert row(database, 1)["claim_token"] == newer
    after = start(DIBS_CLAIM=token)
    assert isinstance(after.refusal("feature_claim_and_get", wait_seconds=9), ClaimLost)
    assert isinstance(after.refusal("feature_mark_passing", feature_id=1), ClaimLost)
    other.call("feature_clear_in_progress", feature_id=1)
    assert isinstance(late.refusal("feature_claim_and_get"), ClaimLost)
    assert late.call("feature_get_by_id", feature_id=2)["status"] == "pending"


def test_an_outcome_is_acknowledged_again_by_the_next_server(database: Database, start: StartServer) -> None:
    """An agent whose server died before its answer repeats the pass on the next one, and is told to stop."""
    fill(database, 2)
    token = hand_over(database)
    first = start(DIBS_CLAIM=token)
    first.call("feature_mark_passing", feature_id=1, evidence="seen")
    first.kill()
    second = start(DIBS_CLAIM=token)
    assert second.call("feature_mark_passing", feature_id=1, evidence="seen")["status"] == "passing"
    assert isinstance(second.refusal("feature_claim_and_get"), Forbidden)
    assert kinds(database, 1) == ["create", "claim", "pass"]


def test_a_token_that_no_claim_has_is_said_so(database: Database, start: StartServer) -> None:
    """The server lives, reads, and refuses each claim without naming another's; the token is in no message or log."""
    fill(database, 1)
    server = start("--log", "DEBUG", DIBS_CLAIM="0000000000000")
    for _ in range(2):
        refused = server.refusal("feature_claim_and_get")
        assert isinstance(refused, ClaimLost)
        assert "0000000000000" not in refused.message
    assert server.call("feature_get_stats")["total"] == 1
    server.finish()
    assert "0000000000000" not in server.log()


def test_eight_servers_with_one_token_are_one_holder(database: Database, start: StartServer) -> None:
    """One outcome is recorded, whoever is first; the same outcome is acknowledged, any other is refused."""
    fill(database, 1)
    rounds = times(2, 12)
    rule(database, "max_claims", 99)
    fill(database, 2 * rounds)
    for feature in range(2, 2 + rounds):
        token = hand_over(database, feature)
        servers = up(*(start(DIBS_CLAIM=token) for _ in range(8)))
        sent = [(server, server.send("feature_claim_and_get")) for server in servers]
        answers = [server.message(number)["result"]["structuredContent"] for server, number in sent]
        assert {(one["feature"]["id"], one["claim"]["token"]) for one in answers} == {(feature, token)}
        for victim in servers[:2]:
            victim.kill()
        sent = [
            (server, server.send("feature_mark_passing", feature_id=feature))
            if place % 2
            else (server, server.send("feature_skip", feature_id=feature, reason="later"))
            for place, server in enumerate(servers[2:])
        ]
        answers = [server.message(number)["result"] for server, number in sent]
        passed = row(database, feature)["status"] == "passing"
        assert [not one.get("isError") for one in answers] == [bool(place % 2) == passed for place in range(6)], answers
        assert kinds(database, feature)[2:] == ["pass" if passed else "skip"]
        for server in servers[2:]:
            server.finish()
    assert row(database, 1)["status"] == "pending"
    assert_sound(database)


def test_a_restarted_agent_and_others_race_for_a_released_feature(database: Database, start: StartServer) -> None:
    """Where an adopting server starts again while seven others claim the next feature, exactly one has it."""
    others = up(*(start() for _ in range(7)))
    for feature in range(1, 1 + times(3, 12)):
        fill(database, 1)
        token = hand_over(database, feature, agent=f"ada-{feature}")
        first = start(DIBS_CLAIM=token)
        first.call("feature_claim_and_get")
        first.finish()
        again = start(DIBS_CLAIM=token)
        sent = [(again, again.send("feature_claim_and_get"))]
        sent += [(other, other.send("feature_claim_and_get", feature_id=feature)) for other in others]
        answers = [server.message(number)["result"] for server, number in sent]
        winners = [place for place, one in enumerate(answers) if not one.get("isError")]
        assert len(winners) == 1, answers
        held = row(database, feature)["claim_token"]
        assert (held == token) == (winners == [0])
        sent[winners[0]][0].call("feature_mark_passing", feature_id=feature)
        again.finish()
    assert_sound(database)
