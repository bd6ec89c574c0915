"""Over stdio the token may be left out if it is unambiguous, and is checked in every state."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.client import Client, server_command
from dibs.database import Database
from dibs.verbs import outcome
from dibs.verbs.lease import reap
from dibs.verbs.verify import take_for_regression
from dibs_schema.refusals import ClaimLost, InvalidInput, TokenRequired
from dibs_schema.status import Kind
from verbs.stage import add, alter, board, expire, journal, row, token_of

pytestmark = pytest.mark.anyio

PROOF = {"evidence": {"summary": "seen"}}
MOVES: list[tuple[str, dict[str, Any], Kind]] = [
    ("feature_heartbeat", {"note": "half done"}, Kind.HEARTBEAT),
    ("feature_mark_passing", PROOF, Kind.PASS),
    ("feature_mark_failing", {"reason": "broken"}, Kind.FAIL),
    ("feature_skip", {"reason": "later"}, Kind.SKIP),
    ("feature_clear_in_progress", {}, Kind.RELEASE),
    ("feature_request_human_input", {"prompt": "?", "fields": [{"id": "a", "label": "A"}]}, Kind.ASK),
]
EACH = pytest.mark.parametrize(("tool", "arguments", "kind"), MOVES, ids=[case[0] for case in MOVES])
ENDING = pytest.mark.parametrize(("tool", "arguments", "kind"), MOVES[1:], ids=[case[0] for case in MOVES[1:]])


async def claimed(server: Client, backlog: Database) -> tuple[int, str]:
    """A feature that the server's connection has claimed, with its token."""
    (feature,) = add(backlog)
    return feature, (await server.call("feature_claim_and_get", feature_id=feature))["claim"]["token"]


@EACH
@pytest.mark.parametrize("how", ["left out", "sent", "sent in capitals"])
async def test_the_token_of_the_only_claim_may_be_left_out(
    server: Client, backlog: Database, tool: str, arguments: dict[str, Any], kind: Kind, how: str
) -> None:
    """Calls of a connection with one claim on a feature need no token."""
    feature, token = await claimed(server, backlog)
    sent = {
        "left out": {},
        "sent": {"claim_token": token},
        "sent in capitals": {"claim_token": token.upper()},
    }[how]
    await server.call(tool, feature_id=feature, **sent, **arguments)
    event = journal(backlog, feature)[-1]
    assert (event["kind"], event["from_status"]) == (kind, "in_progress")


@ENDING
async def test_a_move_that_is_repeated_without_its_token_is_answered_again(
    server: Client, backlog: Database, tool: str, arguments: dict[str, Any], kind: Kind
) -> None:
    """A repeated call after a lost answer gets the same answer and changes nothing."""
    feature, _ = await claimed(server, backlog)
    first = await server.call(tool, feature_id=feature, **arguments)
    before = board(backlog)
    assert await server.call(tool, feature_id=feature, **arguments) == first
    assert board(backlog) == before


@EACH
@pytest.mark.parametrize("sent", [True, False], ids=["sent", "left out"])
async def test_a_lost_claim_is_told_whether_its_token_is_sent_or_not(
    server: Client, backlog: Database, tool: str, arguments: dict[str, Any], kind: Kind, sent: bool
) -> None:
    """A late call of a lost claim never applies to another agent's claim."""
    feature, token = await claimed(server, backlog)
    expire(backlog, feature)
    backlog.write_now(reap)
    theirs = token_of(backlog, feature, "grace")
    backlog.write_now(lambda tx: outcome.mark_passing(tx, "grace", feature, theirs))
    before = board(backlog)
    with pytest.raises(ClaimLost):
        await server.call(tool, feature_id=feature, **({"claim_token": token} if sent else {}), **arguments)
    assert board(backlog) == before


@EACH
async def test_after_a_second_claim_the_token_is_needed(
    server: Client, backlog: Database, tool: str, arguments: dict[str, Any], kind: Kind
) -> None:
    """If a connection has had two claims on a feature, a call must name the claim by its token."""
    (feature,) = add(backlog)
    agent = {"agent": f"ada-{feature}"}
    await server.call("feature_claim_and_get", feature_id=feature, **agent)
    again = await server.call("feature_claim_and_get", **agent, resume=True)
    before = board(backlog)
    with pytest.raises(TokenRequired):
        await server.call(tool, feature_id=feature, **arguments)
    assert board(backlog) == before
    await server.call(tool, feature_id=feature, claim_token=again["claim"]["token"], **arguments)
    assert journal(backlog, feature)[-1]["kind"] == kind


async def test_another_connection_needs_the_token(server: Client, backlog: Database, shared_db: str) -> None:
    """A token works from any connection, and a connection that issued no token assumes none."""
    feature, token = await claimed(server, backlog)
    async with Client.start(server_command("--db", shared_db)) as other:
        with pytest.raises(TokenRequired):
            await other.call("feature_mark_passing", feature_id=feature)
        await other.call("feature_mark_passing", feature_id=feature, claim_token=token)
    assert row(backlog, feature)["status"] == "passing"


async def test_the_holders_name_is_kept_on_what_it_does(server: Client, backlog: Database) -> None:
    """Calls without a name are recorded under the name that the claim was made with."""
    (feature,) = add(backlog)
    await server.call("feature_claim_and_get", feature_id=feature, agent="Ada Lovelace")
    await server.call("feature_add_note", feature_id=feature, text="a note")
    await server.call("feature_mark_passing", feature_id=feature)
    assert [event["agent"] for event in journal(backlog, feature)[1:]] == ["Ada Lovelace"] * 3
    assert row(backlog, feature)["passed_by"] == "Ada Lovelace"


async def test_who_passed_a_feature_can_test_it_again(server: Client, backlog: Database) -> None:
    """A connection that passed a feature itself may get it for a regression test, and its result counts."""
    backlog.write_now(lambda tx: take_for_regression(tx, 1_000))
    feature, _ = await claimed(server, backlog)
    await server.call("feature_mark_passing", feature_id=feature, **PROOF)
    handed = await server.call("feature_get_for_regression", limit=10)
    assert [one["id"] for one in handed["features"]] == [feature]
    await server.call("feature_mark_passing", feature_id=feature, evidence={"summary": "still green"})
    kept = row(backlog, feature)
    assert kept["last_tested_at"] is not None
    assert kept["testing_until"] is None
    assert kept["evidence"] == {"summary": "still green"}


async def test_who_passed_a_feature_can_report_that_it_broke(server: Client, backlog: Database) -> None:
    """A connection that passed a feature itself reports a regression of it without a token."""
    feature, _ = await claimed(server, backlog)
    await server.call("feature_mark_passing", feature_id=feature)
    await server.call("feature_mark_failing", feature_id=feature, reason="broke")
    assert journal(backlog, feature)[-1]["kind"] == Kind.REGRESS


async def test_a_feature_can_be_claimed_again_after_each_outcome(server: Client, backlog: Database) -> None:
    """A connection that failed and skipped a feature claims it again, and passes it with the last token."""
    (feature,) = add(backlog)
    for tool, arguments in (
        ("feature_mark_failing", {"reason": "no"}),
        ("feature_skip", {"reason": "no"}),
        ("feature_mark_passing", {}),
    ):
        alter(backlog, feature, not_before=None)
        token = (await server.call("feature_claim_and_get", feature_id=feature))["claim"]["token"]
        await server.call(tool, feature_id=feature, claim_token=token, **arguments)
    assert row(backlog, feature)["status"] == "passing"


async def test_a_token_that_is_none_is_refused_or_lost(server: Client, backlog: Database) -> None:
    """An invalid token changes nothing."""
    feature, _ = await claimed(server, backlog)
    before = board(backlog)
    for wrong, kind in (("nonsense", ClaimLost), ("x" * 21, InvalidInput)):
        with pytest.raises(kind):
            await server.call("feature_mark_passing", feature_id=feature, claim_token=wrong)
    assert board(backlog) == before
