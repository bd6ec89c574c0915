"""A caller that claims its own feature again receives its claim, and no other caller does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from dibs.client import Client, server_command
from dibs.database import Database
from dibs.verbs.lease import release_all
from dibs_schema.refusals import AlreadyClaimed, AlreadyHolding, InvalidInput, Refusal
from verbs.stage import add, alter, journal, row, token_of

pytestmark = pytest.mark.anyio

CLAIM, MARK = "feature_claim_and_get", "feature_mark_in_progress"


@pytest.fixture(autouse=True)
def _nothing_is_claimed(backlog: Database) -> None:
    """Release what earlier tests claimed: a connection may have 16 claims."""
    backlog.write_now(lambda tx: release_all(tx, "the next test begins"))


def token_in(answer: dict[str, Any]) -> str:
    """Return the token in the answer of either claiming tool."""
    token: str = answer["claim"]["token"] if "claim" in answer else answer["token"]
    return token


@pytest.mark.parametrize("first", [CLAIM, MARK])
async def test_the_two_claiming_tools_complete_each_other(server: Client, backlog: Database, first: str) -> None:
    """Without a name, each tool returns the claim of the other once: the same token, no further attempt or event."""
    second = MARK if first == CLAIM else CLAIM
    (feature,) = add(backlog)
    made = await server.call(first, feature_id=feature)
    again = await server.call(second, feature_id=feature)
    assert "already_claimed" not in made
    assert again["already_claimed"] is True
    assert token_in(again) == token_in(made)
    assert row(backlog, feature)["attempts"] == 1
    assert [event["kind"] for event in journal(backlog, feature)] == ["create", "claim"]
    assert (again["feature"] if second == CLAIM else again)["id"] == feature
    assert (await server.call("feature_mark_passing", feature_id=feature))["status"] == "passing"


async def test_the_next_feature_can_be_marked_in_progress(server: Client, backlog: Database) -> None:
    """A harness that claims the next feature and then marks it in progress is not refused."""
    add(backlog)
    feature = (await server.call(CLAIM))["feature"]["id"]
    assert (await server.call(MARK, feature_id=feature))["already_claimed"] is True


async def test_a_claim_by_id_does_not_wait(server: Client, backlog: Database) -> None:
    """A claim that would wait for a certain feature is refused, and claims nothing."""
    (feature,) = add(backlog)
    with pytest.raises(InvalidInput) as refusal:
        await server.call(CLAIM, feature_id=feature, wait_seconds=5)
    assert refusal.value.details["field"] == "wait_seconds"
    assert row(backlog, feature)["status"] == "pending"


@pytest.mark.parametrize("tool", [CLAIM, MARK])
async def test_the_same_tool_again_may_be_another_agent(server: Client, backlog: Database, tool: str) -> None:
    """Subagents share a connection, so a second call is refused; the refusal has what the holder needs to go on."""
    (feature,) = add(backlog)
    made = await server.call(tool, feature_id=feature)
    for _ in range(2):
        with pytest.raises(AlreadyClaimed) as refusal:
            await server.call(tool, feature_id=feature)
        assert refusal.value.details["claim_token"] == token_in(made)
        assert refusal.value.details["holder"] == row(backlog, feature)["claimed_by"]
        assert "If that was you, go on with it" in refusal.value.fact


async def test_a_feature_can_be_claimed_again_after_its_claim_ended(server: Client, backlog: Database) -> None:
    """After an outcome the feature can be claimed by both tools again."""
    (feature,) = add(backlog)
    for _ in range(3):
        made = await server.call(CLAIM, feature_id=feature)
        assert "already_claimed" not in made
        assert token_in(await server.call(MARK, feature_id=feature)) == token_in(made)
        await server.call("feature_skip", feature_id=feature, reason="not yet")


@pytest.mark.parametrize("arguments", [{"feature_id": True}, {}], ids=["by id", "the next"])
async def test_a_named_agent_receives_its_claim_as_often_as_it_asks(
    server: Client, backlog: Database, arguments: dict[str, Any]
) -> None:
    """On the claim's connection a named agent gets the same token, without a further attempt."""
    feature, _ = add(backlog, 2)
    agent = {"agent": f"ada-{feature}"}
    made = await server.call(CLAIM, feature_id=feature, **agent)
    for _ in range(3):
        again = await server.call(CLAIM, **agent, **({"feature_id": feature} if arguments else {}))
        assert again["already_claimed"] is True
        assert again["claim"]["token"] == made["claim"]["token"]
        assert (again["brief"], again["feature"]["id"]) == (True, feature)
        marked = await server.call(MARK, feature_id=feature, **agent)
        assert (marked["already_claimed"], marked["token"]) == (True, made["claim"]["token"])
    assert row(backlog, feature)["attempts"] == 1


async def test_a_named_agent_is_refused_another_feature(server: Client, backlog: Database) -> None:
    """A claim by another id, or of another category, does not return the claim that the agent has."""
    feature, other = add(backlog, 2)
    agent = {"agent": f"ada-{feature}"}
    await server.call(CLAIM, feature_id=feature, **agent)
    for arguments in ({"feature_id": other}, {"category": "another"}):
        with pytest.raises(AlreadyHolding) as refusal:
            await server.call(CLAIM, **agent, **arguments)
        assert refusal.value.details["id"] == feature


@pytest.mark.parametrize("name", ["grace", None])
async def test_another_name_on_the_connection_is_another_agent(
    server: Client, backlog: Database, name: str | None
) -> None:
    """A claim made without a name, or under another one, is not returned to an agent with a name."""
    (feature,) = add(backlog)
    made = await server.call(CLAIM, feature_id=feature, **({"agent": name} if name else {}))
    with pytest.raises(AlreadyClaimed) as refusal:
        await server.call(CLAIM, feature_id=feature, agent="ada")
    assert token_in(made) not in str(refusal.value.answer())


async def test_another_session_with_the_name_is_told_to_take_its_own(
    server: Client, backlog: Database, shared_db: str
) -> None:
    """While the connection that holds the claim lives, the refusal does not suggest a take-over."""
    (feature,) = add(backlog)
    name = f"ada-{feature}"
    await server.call(CLAIM, feature_id=feature, agent=name)
    async with Client.start(server_command("--db", shared_db, "--agent", name)) as other:
        for arguments in ({}, {"feature_id": feature}, {"resume": True}, {"feature_id": feature, "resume": True}):
            with pytest.raises(AlreadyHolding) as refusal:
                await other.call(CLAIM, **arguments)
            assert "Another session works under this name" in refusal.value.message
            assert "resume" not in refusal.value.message
        with pytest.raises(InvalidInput, match="goes with resume=true"):
            await other.call(CLAIM, force=True)
        assert (await other.call(CLAIM, resume=True, force=True))["feature"]["id"] == feature


async def test_the_claim_of_another_names_its_holder(server: Client, backlog: Database) -> None:
    """The refusal names the holder and the time of its claim, and nothing about the feature."""
    (feature,) = add(backlog, name="a secret plan")
    token = token_of(backlog, feature, "grace")
    for tool in (CLAIM, MARK):
        with pytest.raises(AlreadyClaimed) as refusal:
            await server.call(tool, feature_id=feature)
        assert set(refusal.value.details) == {"id", "holder", "since"}
        assert refusal.value.details["holder"] == f"grace-{feature}"
        assert token not in str(refusal.value.answer())
        assert "secret plan" not in str(refusal.value.answer())


@pytest.mark.parametrize("tools", [(CLAIM, MARK), (MARK, CLAIM), (CLAIM,), (MARK,)], ids="-".join)
async def test_eight_subagents_never_share_a_feature(server: Client, backlog: Database, tools: tuple[str, ...]) -> None:
    """Eight agents on one connection follow one sequence for the same ids: one of them succeeds with each feature."""
    targets = add(backlog, 5)
    successes: Counter[int] = Counter()

    async def work() -> None:
        for feature in targets:
            for tool in tools:
                try:
                    await server.call(tool, feature_id=feature)
                except Refusal:
                    break
            else:
                successes[feature] += 1

    async with anyio.create_task_group() as agents:
        for _ in range(8):
            agents.start_soon(work)
    assert successes == dict.fromkeys(targets, 1)


@pytest.mark.parametrize(
    "endings", [["feature_mark_failing", "feature_skip"], ["feature_clear_in_progress", "feature_skip"]], ids="-".join
)
async def test_a_token_is_needed_only_after_a_claim_was_lost(
    server: Client, backlog: Database, endings: list[str]
) -> None:
    """A claim that was ended by a call on this connection does not make later calls ambiguous."""
    (feature,) = add(backlog)
    for ending in endings:
        await server.call(CLAIM, feature_id=feature)
        reason = {} if ending == "feature_clear_in_progress" else {"reason": "not yet"}
        await server.call(ending, feature_id=feature, **reason)
        if ending == "feature_mark_failing":
            alter(backlog, feature, not_before=None)
    await server.call(CLAIM, feature_id=feature)
    await server.call("feature_heartbeat", feature_id=feature)
    assert (await server.call("feature_mark_passing", feature_id=feature))["status"] == "passing"
