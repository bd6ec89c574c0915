"""Where a client names the session of its agent, the agent's claims can be resumed without an agent name."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from dibs.database import Database
from dibs.rules.holder_names import is_of_connection
from dibs_schema.refusals import AlreadyHolding, ClaimLost, InvalidInput
from races.backlog import assert_sound, fill, kinds, row, rule
from races.servers import ServerClient, StartServer

ADA, BOB = "56b70e9e-6e20-4567-9a44-068dc3d25123", "0c1d2e3f-6e20-4567-9a44-068dc3d25123"
VARIABLE = "CLAUDE_CODE_SESSION_ID"


def claim(server: ServerClient, **arguments: Any) -> tuple[int, str, bool]:
    """Claim a feature, and return its id, the token, and whether the caller had it already."""
    answer = server.call("feature_claim_and_get", **arguments)
    return answer["feature"]["id"], answer["claim"]["token"], answer.get("already_claimed", False)


def test_a_session_has_one_name_on_all_its_servers(database: Database, start: StartServer) -> None:
    """People see which terminal has a claim, also after its server was restarted."""
    fill(database, 3)
    for feature, session in enumerate((ADA, ADA, "not hexadecimal"), start=1):
        claim(start(**{VARIABLE: session}), feature_id=feature)
    names = [row(database, feature)["claimed_by"] for feature in (1, 2, 3)]
    assert names[0] == names[1] != names[2]
    assert names[0].partition(" in ")[0].endswith("-56b7")
    assert all(map(is_of_connection, names)), "it is no agent name, whose claims are limited"


def test_a_killed_servers_claim_is_resumed_by_its_session_alone(database: Database, start: StartServer) -> None:
    """The next server of the session takes it over at once; another session gets the next feature."""
    fill(database, 2)
    first = start(**{VARIABLE: ADA})
    _, old, _ = claim(first, feature_id=1)
    first.kill(signal.SIGKILL)
    first.status()
    assert claim(start(**{VARIABLE: BOB}), resume=True)[0] == 2
    second = start(**{VARIABLE: ADA})
    feature, new, already = claim(second, resume=True)
    assert (feature, already) == (1, False)
    assert new != old
    assert isinstance(second.refusal("feature_heartbeat", feature_id=1, claim_token=old), ClaimLost)
    assert second.call("feature_mark_passing", feature_id=1, claim_token=new)["status"] == "passing"
    assert_sound(database)


def test_what_a_session_held_last_is_claimed_again_after_a_clean_end(database: Database, start: StartServer) -> None:
    """The server released it at its end, and nobody followed: the session goes on with it, not with the next one."""
    fill(database, 3)
    first = start(**{VARIABLE: ADA})
    claim(first, feature_id=2)
    assert first.finish() == 0
    assert claim(start(**{VARIABLE: ADA}), resume=True)[0] == 2


def test_a_server_of_the_session_that_lives_keeps_its_claims(database: Database, start: StartServer) -> None:
    """Two servers of one session, as in two windows that resumed it, do not take features from each other."""
    fill(database, 1)
    first = start(**{VARIABLE: ADA})
    _, token, _ = claim(first)
    second = start(**{VARIABLE: ADA})
    refusal = second.refusal("feature_claim_and_get", resume=True)
    assert isinstance(refusal, AlreadyHolding)
    assert "Another session works under this name" in str(refusal)
    assert first.call("feature_heartbeat", feature_id=1, claim_token=token)["status"] == "in_progress"
    first.kill(signal.SIGKILL)
    first.status()
    assert claim(second, resume=True)[0] == 1, "its process can be seen to have ended"
    assert kinds(database, 1)[-1] == "resume"


def test_on_one_connection_a_resume_takes_no_claim_from_a_subagent(database: Database, start: StartServer) -> None:
    """After a compaction the only claim comes back with its token; of several, the call must name one."""
    fill(database, 3)
    rule(database, "max_claims", 1)
    server = start(**{VARIABLE: ADA})
    first = claim(server, feature_id=1)
    assert claim(server, resume=True) == (1, first[1], True)
    second = claim(server, feature_id=2)
    refusal = server.refusal("feature_claim_and_get", resume=True)
    assert isinstance(refusal, AlreadyHolding)
    assert "2 claims: 1 (" in str(refusal)
    assert claim(server, resume=True, feature_id=2) == (2, second[1], True)
    assert kinds(database, 1) == ["create", "claim"]
    assert claim(server, resume=True, feature_id=3)[0] == 3, "nobody has it: a plain claim"


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_without_a_session_a_resume_needs_a_name(
    database: Database, start: StartServer, environment: dict[str, str]
) -> None:
    """A client that names no session gets what is missing."""
    fill(database, 1)
    assert isinstance(start(**environment).refusal("feature_claim_and_get", resume=True), InvalidInput)
