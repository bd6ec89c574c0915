"""In common situations the text of an answer names the next call, and that call works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import anyio
import pytest
from sqlalchemy import update

from clients.reader import Next, Reader, calls_named_in
from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.rules.conditions import NO_CLAIM
from dibs.settings import Settings
from dibs.verbs.lease import reap
from dibs.verbs.outcome import mark_failing, mark_passing
from dibs.verbs.release import release
from dibs_schema.status import Status
from dibs_schema.tables import features
from verbs.stage import add, alter, depend, expire, place, rule, token_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="words are the same on each engine; tests/tools has the refusals on both"),
]

FEATURE = {"category": "core", "name": "a name", "description": "words", "steps": ["look"]}
CLAIM, PASS = "feature_claim_and_get", "feature_mark_passing"


@pytest.fixture(scope="module")
def shared(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that one server serves to the agents of all situations."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
async def client(shared: str, anyio_backend: str) -> AsyncIterator[Client]:
    """The agent's own server, to which no other agent is connected."""
    async with Client.start(server_command("--db", shared)) as started:
        await started.call("feature_get_stats")
        yield started


@pytest.fixture
def backlog(shared: str, client: Client) -> Iterator[Database]:
    """The backlog, opened by the test for set-up. The features of earlier situations are archived."""
    opened = open_database(Settings(db=shared))
    clear = update(features).values({**NO_CLAIM, features.c.status: "archived", features.c.archived_from: "pending"})
    opened.write_now(lambda tx: tx.run(clear.where(features.c.project_id == tx.project.id)))
    yield opened
    opened.close(patience=5)


async def test_a_feature_that_another_has_leads_to_the_next_one(client: Client, backlog: Database) -> None:
    """The refusal of a claimed feature names the call that claims another feature."""
    theirs, other = add(backlog, 2)
    token_of(backlog, theirs)
    me = Reader(client)
    said = await me.refused("already_claimed", CLAIM, feature_id=theirs)
    assert (await me.follow(said))["feature"]["id"] == other


async def test_a_lost_claim_leads_to_other_work(client: Client, backlog: Database) -> None:
    """The refusal of a pass with a lost claim says to stop, and names the call for the next feature."""
    first, second = add(backlog, 2)
    me = Reader(client)
    mine = await me.call(CLAIM, feature_id=first)
    expire(backlog, first)
    backlog.write_now(reap)
    alter(backlog, first, not_before=None)
    token_of(backlog, first, "grace")
    said = await me.refused("claim_lost", PASS, feature_id=first, claim_token=mine["claim"]["token"])
    assert said["holder"] == f"grace-{first}"
    assert (await me.follow(said))["feature"]["id"] == second


async def test_a_blocked_feature_leads_to_what_it_waits_for(client: Client, backlog: Database) -> None:
    """The refusal of a blocked feature names its dependency, and the call that claims it."""
    needed, waiting = add(backlog, 2)
    depend(backlog, waiting, needed)
    me = Reader(client)
    said = await me.refused("unmet_dependencies", CLAIM, feature_id=waiting)
    assert said["unmet"] == [needed]
    assert (await me.follow(said))["feature"]["id"] == needed


@pytest.mark.parametrize("name", [None, "ada"])
async def test_a_dependency_that_breaks_under_a_claim_leads_to_other_work(
    client: Client, backlog: Database, name: str | None
) -> None:
    """The refusal of the pass leads to a release, and the next claim to another feature: not in a circle."""
    needed, mine, other = add(backlog, 3)
    token = token_of(backlog, needed)
    backlog.write_now(lambda tx: mark_passing(tx, "grace", needed, token))
    me = Reader(client)
    agent = {"agent": name} if name else {}
    await me.call(CLAIM, feature_id=mine, **agent)
    depend(backlog, mine, needed)
    backlog.write_now(lambda tx: mark_failing(tx, "tom", needed, "it broke"))
    said = await me.refused("unmet_dependencies", PASS, feature_id=mine)
    assert said["unmet"] == [needed]
    assert (await me.follow(said))["status"] == "pending"
    found = [(await me.call(CLAIM, **(agent if not number else {})))["feature"]["id"] for number in range(2)]
    assert set(found) == {needed, other}


async def test_nothing_left_to_do_says_stop(client: Client, backlog: Database) -> None:
    """When everything passes, the answer says so, names no call, and is no error."""
    place(backlog, Status.PASSING)
    idle = await Reader(client).call(CLAIM)
    assert idle["state"] == "complete"
    assert idle["message"].endswith("stop.")
    assert calls_named_in(idle["message"]) == []


@pytest.mark.parametrize(
    ("asked", "enough"),
    [
        ("summary", {"summary": "12 tests pass"}),
        ("command", {"commands": [{"command": "make test", "exit_code": 0}]}),
    ],
)
async def test_a_pass_that_needs_evidence_says_which(
    client: Client, backlog: Database, asked: str, enough: dict[str, Any]
) -> None:
    """The refusal of a pass without evidence names the same call with evidence."""
    (feature,) = add(backlog)
    rule(backlog, require_evidence=asked)
    try:
        me = Reader(client)
        await me.call(CLAIM, feature_id=feature)
        said = await me.refused("invalid_input", PASS, feature_id=feature)
        assert said["field"] == f"evidence.{next(iter(enough))}"
        assert (await me.follow(said, evidence=enough))["status"] == "passing"
    finally:
        rule(backlog, require_evidence="off")


async def test_what_another_must_confirm_leads_to_a_test_of_it(client: Client, backlog: Database) -> None:
    """If only confirmations are left, the answer names the tool for testers, and the project then completes."""
    rule(backlog, verifier="other")
    try:
        theirs = place(backlog, Status.PASSING)
        me = Reader(client)
        idle = await me.call(CLAIM)
        assert idle["state"] == "waiting_for_confirmation"
        to_test = await me.follow(idle)
        assert [one["id"] for one in to_test["features"]] == [theirs.id]
        assert (await me.follow(idle, 1, feature_id=theirs.id))["status"] == "passing"
        assert (await me.call(CLAIM))["state"] == "complete"
    finally:
        rule(backlog, verifier="anyone")


async def test_work_that_others_hold_is_waited_for(client: Client, backlog: Database) -> None:
    """If other agents hold everything, the answer says how to wait, and the wait ends with a release."""
    (only,) = add(backlog)
    theirs = token_of(backlog, only)
    me = Reader(client)
    idle = await me.call(CLAIM)
    assert idle["state"] == "waiting_for_claims"
    assert "Call feature_claim_and_get with wait_seconds=45" in idle["message"]
    answers: list[dict[str, Any]] = []

    async def wait() -> None:
        answers.append(await me.call(CLAIM, wait_seconds=45))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.2)
            assert answers == []
            backlog.write_now(lambda tx: release(tx, "ada", only, theirs))
    assert answers[0]["feature"]["id"] == only


async def test_a_question_to_a_person_leads_to_its_answer(client: Client, backlog: Database) -> None:
    """The refusal of a feature that waits for a person names the planner's call that answers it."""
    asking = place(backlog, Status.NEEDS_HUMAN).id
    me = Reader(client)
    said = await me.refused("waiting_for_human", CLAIM, feature_id=asking)
    assert f"dibs answer {asking}" in said["message"]
    await me.follow(said, feature_id=asking, answers={"colour": "red"})
    assert (await me.call(CLAIM, feature_id=asking))["feature"]["human_answer"]["answers"] == {"colour": "red"}


async def test_an_agent_that_crashed_goes_on_with_what_it_held(shared: str, backlog: Database) -> None:
    """An agent without memory resumes its feature under its name, and passes it."""
    (feature,) = add(backlog)
    async with Client.start(server_command("--db", shared, "--agent", "ada")) as before:
        await before.call(CLAIM)
        before.process.kill()
    async with Client.start(server_command("--db", shared, "--agent", "ada")) as after:
        me = Reader(after)
        said = await me.refused("already_holding", CLAIM)
        again = await me.follow(said)
        assert again["feature"]["id"] == feature
        token = again["claim"]["token"]
        assert (await me.call(PASS, feature_id=feature, claim_token=token))["status"] == "passing"


async def test_an_agent_whose_context_was_compacted_reads_its_feature_again(shared: str, backlog: Database) -> None:
    """On the same connection the claim is answered briefly, and its hint leads to all texts: three calls to the pass."""
    add(backlog, description="what to build")
    async with Client.start(server_command("--db", shared, "--agent", "ada")) as mine:
        me = Reader(mine)
        await me.call(CLAIM)
        again = await me.call(CLAIM, resume=True)
        assert "description" not in again["feature"]
        whole = await me.follow({"message": again["hint"]})
        assert whole["description"] == "what to build"
        token = again["claim"]["token"]
        assert (await me.call(PASS, feature_id=whole["id"], claim_token=token))["status"] == "passing"


async def test_a_forgotten_token_leads_to_a_new_one(client: Client, backlog: Database) -> None:
    """An agent whose claim belongs to another process gets a token by the named call, and passes."""
    (feature,) = add(backlog)
    token_of(backlog, feature, "ada")
    me = Reader(client)
    said = await me.refused("token_required", PASS, feature_id=feature)
    again = await me.follow(said, agent=f"ada-{feature}")
    token = again["claim"]["token"]
    assert (await me.call(PASS, feature_id=feature, claim_token=token))["status"] == "passing"


async def test_a_strangers_claim_leads_to_other_work(client: Client, backlog: Database) -> None:
    """The refusal of a pass of another's feature names the holder, and the call for another feature."""
    theirs, other = add(backlog, 2)
    token_of(backlog, theirs, "ada")
    me = Reader(client)
    said = await me.refused("token_required", PASS, feature_id=theirs)
    assert said["holder"] == f"ada-{theirs}"
    assert said["message"].startswith(f"ada-{theirs} has held feature {theirs} since ")
    assert (await me.follow(said, 1))["feature"]["id"] == other


async def test_a_stuck_feature_is_put_back_by_the_call_that_its_refusal_names(
    client: Client, backlog: Database
) -> None:
    """The refusal of a stuck feature names the reason, and the planner's call that retries it."""
    stuck = place(backlog, Status.STUCK).id
    me = Reader(client)
    said = await me.refused("stuck", CLAIM, feature_id=stuck)
    assert "skipped" in said["message"]
    assert "last failure" not in said["message"]  # it was skipped, and never failed
    assert (await me.follow(said))["status"] == "pending"
    assert (await me.call(CLAIM, feature_id=stuck))["state"] == "claimed"


async def test_a_feature_that_failed_lately_leads_to_another(client: Client, backlog: Database) -> None:
    """The refusal of a feature that backs off has the remaining time, and the call for another feature."""
    failed, other = add(backlog, 2)
    me = Reader(client)
    await me.call(CLAIM, feature_id=failed)
    await me.call("feature_mark_failing", feature_id=failed, reason="no such page")
    said = await me.refused("not_ready", CLAIM, feature_id=failed)
    assert 0 < said["retry_after_seconds"] <= 30
    assert (await me.follow(said))["feature"]["id"] == other


async def test_passing_without_a_claim_leads_to_claiming_first(client: Client, backlog: Database) -> None:
    """The refusal of a pass without a claim names the claim of that feature."""
    _, wanted = add(backlog, 2)
    me = Reader(client)
    said = await me.refused("not_claimed", PASS, feature_id=wanted)
    assert (await me.follow(said))["feature"]["id"] == wanted
    assert (await me.call(PASS, feature_id=wanted))["status"] == "passing"


async def test_a_circle_leads_to_the_edge_that_is_in_the_way(client: Client, backlog: Database) -> None:
    """The refusal of a cycle shows it, and names the call that removes one of its edges."""
    needed, waiting = add(backlog, 2)
    depend(backlog, waiting, needed)
    me = Reader(client)
    said = await me.refused("would_cycle", "feature_add_dependency", feature_id=needed, dependency_id=waiting)
    assert set(said["path"]) == {needed, waiting}
    await me.follow(said, feature_id=waiting, dependency_id=needed)
    await me.call("feature_add_dependency", feature_id=needed, dependency_id=waiting)
    assert (await me.refused("unmet_dependencies", CLAIM, feature_id=needed))["unmet"] == [waiting]


async def test_a_reused_key_leads_to_a_new_one(client: Client) -> None:
    """The refusal of a reused request_id asks for a new one."""
    me = Reader(client)
    await me.call("feature_create", **FEATURE, request_id="one")
    said = await me.refused("request_reused", "feature_create", **FEATURE | {"name": "two"}, request_id="one")
    assert "new request_id" in said["message"]
    created = await me.call("feature_create", **FEATURE | {"name": "two"}, request_id="two")
    assert created["count"] == 1


async def test_what_is_off_the_board_is_brought_back_by_the_call_that_is_named(
    client: Client, backlog: Database
) -> None:
    """The refusal of an archived feature names the planner's call that restores it."""
    away = place(backlog, Status.ARCHIVED).id
    me = Reader(client)
    said = await me.refused("archived", CLAIM, feature_id=away)
    await me.follow(said)
    assert (await me.call(CLAIM, feature_id=away))["state"] == "claimed"


async def test_an_agent_that_holds_too_much_gives_something_back(client: Client, backlog: Database) -> None:
    """The refusal of too many claims lists them and names the call that ends one."""
    rule(backlog, max_claims_per_connection=2)
    add(backlog, 3)
    me = Reader(client)
    for _ in range(2):
        await me.call(CLAIM)
    said = await me.refused("too_many_claims", CLAIM)
    await me.follow(said, feature_id=said["held"][0])
    assert (await me.call(CLAIM))["state"] == "claimed"
    rule(backlog, max_claims_per_connection=16)


async def test_a_wrong_argument_is_named_by_its_path(client: Client, backlog: Database) -> None:
    """The refusal of an invalid argument names the field, and the corrected call works."""
    me = Reader(client)
    wrong = FEATURE | {"steps": ["look", 5]}
    said = await me.refused("invalid_input", "feature_create", **wrong)
    assert said["field"] == "steps[1]"
    assert (await me.call("feature_create", **FEATURE))["count"] == 1


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ("Call feature_claim_and_get without an id.", [Next("feature_claim_and_get")]),
        ("Back with feature_update retry=true.", [Next("feature_update", {"retry": True})]),
        (
            "Claim it: feature_claim_and_get with feature_id=7.",
            [Next("feature_claim_and_get", {"feature_id": 7})],
        ),
        ("Stop.", []),
    ],
)
def test_the_reader_reads_no_more_than_is_said(message: str, calls: list[Next]) -> None:
    """The reader takes only the named call and the given arguments from a message."""
    assert calls_named_in(message) == calls
