"""Each role finishes its own work with its own tools, and prompts for other tools find those of today."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from clients.reader import Reader
from dibs.client import Client, server_command
from dibs.database import Database
from dibs.verbs import outcome
from dibs.verbs.depend import set_dependencies
from dibs_schema.operations import OPERATIONS
from dibs_schema.refusals import AlreadyClaimed, Forbidden, InvalidInput, TokenRequired
from dibs_schema.status import Status
from verbs.stage import add, journal, place, row, token_of

pytestmark = pytest.mark.anyio

CLAIM, PASS, FAIL = "feature_claim_and_get", "feature_mark_passing", "feature_mark_failing"


@pytest.fixture(scope="module")
async def tester(shared_db: str, anyio_backend: str) -> AsyncIterator[Client]:
    """A tester's server."""
    async with Client.start(server_command("--db", shared_db, "--role", "tester")) as client:
        yield client


async def test_a_tester_mends_what_it_reported(tester: Client, backlog: Database) -> None:
    """It reads, reports, mends and passes a feature; the refusal of the pass leads to the claim."""
    feature = place(backlog, Status.PASSING).id
    me = Reader(tester)
    await me.call("feature_get_by_id", feature_id=feature)
    assert (await me.call(FAIL, feature_id=feature, reason="it broke"))["status"] == "pending"
    said = await me.refused("not_claimed", PASS, feature_id=feature)
    claimed = await me.follow(said)
    assert claimed["feature"]["failures"][0]["reason"] == "it broke"
    await me.call("feature_heartbeat", feature_id=feature)
    assert (await me.call(PASS, feature_id=feature))["status"] == "passing"


async def test_a_tester_claims_nothing_else(tester: Client, backlog: Database) -> None:
    """Neither the next feature, nor one that nobody or another agent has reported."""
    (feature,) = add(backlog)
    reported = place(backlog, Status.PASSING).id
    backlog.write_now(lambda tx: outcome.mark_failing(tx, "another tester", reported, "it broke"))
    for arguments in ({}, {"feature_id": feature}, {"feature_id": reported}):
        with pytest.raises(Forbidden) as refusal:
            await tester.call(CLAIM, **arguments)
        assert "feature_get_for_regression" in refusal.value.message
    assert row(backlog, feature)["status"] == "pending"


async def test_a_tester_reports_and_holds_in_one_call(tester: Client, backlog: Database) -> None:
    """The report and the claim are one transaction; the same call again returns the same claim."""
    feature = place(backlog, Status.PASSING).id
    held = await tester.call(FAIL, feature_id=feature, reason="it broke", keep=True)
    assert (held["status"], held["token"]) == ("in_progress", row(backlog, feature)["claim_token"])
    assert [event["kind"] for event in journal(backlog, feature)][-2:] == ["regress", "claim"]
    with pytest.raises(AlreadyClaimed) as refusal:
        await tester.call(FAIL, feature_id=feature, reason="it broke", keep=True)
    assert refusal.value.details["claim_token"] == held["token"]
    assert (await tester.call(PASS, feature_id=feature))["status"] == "passing"


async def test_a_named_tester_may_repeat_the_call(backlog: Database, shared_db: str) -> None:
    """A repeated report returns the claim; another reason is refused, since it is not recorded."""
    feature = place(backlog, Status.PASSING).id
    flags = ("--db", shared_db, "--role", "tester", "--agent", f"tess-{feature}")
    async with Client.start(server_command(*flags)) as client:
        held = await client.call(FAIL, feature_id=feature, reason="it broke", keep=True)
        again = await client.call(FAIL, feature_id=feature, reason="it broke", keep=True)
        assert (again["already_claimed"], again["token"]) == (True, held["token"])
        with pytest.raises(AlreadyClaimed):
            await client.call(FAIL, feature_id=feature, reason="another reason", keep=True)
    assert row(backlog, feature)["attempts"] == 0, "the connection's end is no attempt"


async def test_a_report_that_cannot_be_kept_reports_nothing(tester: Client, backlog: Database) -> None:
    """If the feature cannot be claimed, it stays passing, and the refusal names the call that only reports."""
    (below,) = add(backlog)
    feature = place(backlog, Status.PASSING).id
    backlog.write_now(lambda tx: set_dependencies(tx, "planner", feature, [below]))
    me = Reader(tester)
    said = await me.refused("unmet_dependencies", FAIL, feature_id=feature, reason="it broke", keep=True)
    assert row(backlog, feature)["status"] == "passing"
    assert (await me.follow(said, reason="it broke"))["status"] == "pending"


async def test_a_second_report_names_the_first_and_the_holder(tester: Client, backlog: Database) -> None:
    """With and without `keep` it says who has reported the feature, who holds it and since when."""
    feature = place(backlog, Status.PASSING).id
    backlog.write_now(lambda tx: outcome.mark_failing(tx, "ben", feature, "it broke"))
    token_of(backlog, feature, "grace")
    for keep, code in ((True, AlreadyClaimed), (False, TokenRequired)):
        with pytest.raises(code) as refusal:
            await tester.call(FAIL, feature_id=feature, reason="it broke", keep=keep)
        assert "ben has reported it as broken" in refusal.value.message
        assert "feature_add_note" in refusal.value.message
        assert refusal.value.details["holder"] == row(backlog, feature)["claimed_by"]
        assert refusal.value.details["since"]


async def test_only_testers_keep(backlog: Database, shared_db: str) -> None:
    """A coder neither sees the parameter nor may use it."""
    feature = place(backlog, Status.PASSING).id
    async with Client.start(server_command("--db", shared_db, "--role", "coder")) as client:
        tools = {tool.name: tool for tool in (await client.session.list_tools()).tools}
        assert "keep" not in tools[FAIL].input_schema["properties"]
        with pytest.raises(Forbidden):
            await client.call(FAIL, feature_id=feature, reason="it broke", keep=True)
    assert row(backlog, feature)["status"] == "passing"


@pytest.mark.parametrize("role", ["coder", "tester", "viewer"])
async def test_no_refusal_names_a_tool_of_another_role(backlog: Database, shared_db: str, role: str) -> None:
    """What a planner has to do is said without the planner's tools."""
    stuck, asking = (place(backlog, status).id for status in (Status.STUCK, Status.NEEDS_HUMAN))
    taken, passing = add(backlog)[0], place(backlog, Status.PASSING).id
    token_of(backlog, taken, "grace")
    async with Client.start(server_command("--db", shared_db, "--role", role)) as client:
        tools = {tool.name for tool in (await client.session.list_tools()).tools}
        others = {one.tool for one in OPERATIONS} - tools
        for tool in tools & {PASS, FAIL, CLAIM, "feature_heartbeat", "feature_skip", "feature_get_by_id"}:
            for feature in (stuck, asking, taken, passing, 2**30):
                reason = {"reason": "broke"} if tool in (FAIL, "feature_skip") else {}
                result = await client.call_raw(tool, {"feature_id": feature, **reason})
                said = str(result.structured_content)
                assert not [name for name in others if name in said], f"{tool} {feature}: {said}"


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("feature_get_next", CLAIM),
        ("feature_claim_next", CLAIM),
        ("feature_release_testing", "feature_get_for_regression"),
    ],
)
async def test_a_tool_of_an_older_name_leads_to_that_of_today(server: Client, former: str, today: str) -> None:
    """The refusal of an unknown tool names the one that does the same now."""
    with pytest.raises(InvalidInput) as refusal:
        await server.call(former)
    assert f"Call {today} instead." in refusal.value.message
