"""A feature breaks under agents who build on it: each learns it from answers alone, and the work is finished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from clients.reader import Reader, agents_of
from dibs.database import Database, open_database
from dibs.settings import Settings
from verbs.stage import add, finish, rule

pytestmark = pytest.mark.anyio

CLAIM, PASS, FAIL = "feature_claim_and_get", "feature_mark_passing", "feature_mark_failing"


@pytest.fixture
def backlog(db: str) -> Iterator[Database]:
    """A backlog with a base that passes, and without a back-off."""
    opened = open_database(Settings(db=db))
    rule(opened, back_off=0)
    add(opened)
    finish(opened, 1)
    yield opened
    opened.close(patience=5)


@pytest.fixture
async def agents(db: str, backlog: Database) -> AsyncIterator[dict[str, Reader]]:
    """A coder, a tester and a planner, each with its own server."""
    assert backlog.exists()
    async with agents_of(db, **{role: ("--role", role) for role in ("coder", "tester", "planner")}) as agents:
        yield agents


async def test_a_coder_hears_of_a_break_gives_up_and_comes_back(backlog: Database, agents: dict[str, Reader]) -> None:
    """A coder's next answers name the broken dependency; it mends that first, and its own feature has lost nothing."""
    (mine,) = add(backlog, dependencies=[1])
    coder, tester = agents["coder"], agents["tester"]
    await coder.call(CLAIM, feature_id=mine)
    assert (await tester.call(FAIL, feature_id=1, reason="the page is empty"))["status"] == "pending"
    for heard in (
        await coder.call("feature_heartbeat", feature_id=mine),
        await coder.call("feature_add_note", feature_id=mine, text="half done"),
        await coder.call("feature_get_by_id", feature_id=mine),
        await coder.call("feature_mark_in_progress", feature_id=mine),
    ):
        assert heard.get("blocked_by") == [1], heard
    said = await coder.refused("unmet_dependencies", PASS, feature_id=mine)
    released = await coder.follow(said)
    assert (released["status"], released["blocked_by"], "attempts" in released) == ("pending", [1], False)
    assert (await coder.call(CLAIM))["feature"]["id"] == 1
    assert (await coder.call(PASS, feature_id=1))["unblocked"] == [mine]
    again = await coder.call(CLAIM)
    assert (again["feature"]["id"], "attempts" in again["feature"]) == (mine, False)
    assert (await coder.call(PASS, feature_id=mine))["status"] == "passing"
    assert (await coder.call(CLAIM))["state"] == "complete"


async def test_a_tester_checks_what_was_built_on_a_broken_feature_first(
    backlog: Database, agents: dict[str, Reader]
) -> None:
    """The last answer counts what awaits a recheck; a tester gets that before all others, and it is checked once."""
    other, above = add(backlog)[0], add(backlog, dependencies=[1])[0]
    finish(backlog, other)
    finish(backlog, above)
    coder, tester, planner = agents["coder"], agents["tester"], agents["planner"]
    await tester.call(FAIL, feature_id=1, reason="the page is empty")
    await coder.call(CLAIM)
    await coder.call(PASS, feature_id=1)
    done = await coder.call(CLAIM)
    assert (done["state"], done["counts"]["to_recheck"]) == ("complete", 1)
    assert "await a recheck" in done["message"]
    assert (await planner.call("feature_get_stats"))["counts"]["to_recheck"] == 1
    (first,) = (await tester.call("feature_get_for_regression", limit=1))["features"]
    assert (first["id"], "recheck_since" in first) == (above, True)
    assert (await tester.call(PASS, feature_id=above))["status"] == "passing"
    done = await coder.call(CLAIM)
    assert (done["state"], "recheck" in str(done)) == ("complete", False)


async def test_a_planner_who_adds_a_dependency_reaches_holders_and_testers(
    backlog: Database, agents: dict[str, Reader]
) -> None:
    """A new dependency of a claimed feature reaches its holder; one of a passing feature is acknowledged as a recheck."""
    held, new = add(backlog, 2)
    coder, tester, planner = agents["coder"], agents["tester"], agents["planner"]
    await coder.call(CLAIM, feature_id=held)
    for feature in (held, 1):
        answer = await planner.call("feature_add_dependency", feature_id=feature, dependency_id=new)
        assert ("recheck" in answer.get("hint", "")) == (feature == 1)
    assert (await coder.call("feature_heartbeat", feature_id=held))["blocked_by"] == [new]
    skipped = await coder.call("feature_skip", feature_id=held, reason="it waits for the new one")
    assert (skipped["status"], "skips" in skipped) == ("pending", False)
    assert (await tester.call("feature_get_for_regression"))["features"][0]["id"] == 1
