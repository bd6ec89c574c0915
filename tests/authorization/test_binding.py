"""The agent, the role and the project of a call are those of its access token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import httpx2
import pytest

from authorization.site import OTHER, Site, bearer, new_token, opened, site
from dibs.database import Database
from dibs.verbs.create import create_bulk
from dibs_schema.refusals import AlreadyClaimed, ClaimLost, Forbidden
from dibs_schema.roles import Role
from listening import ACCEPT, META, STATEFUL, STATELESS, Caller, read
from verbs.stage import new, rule

_numbers = count(1)
ERAS = pytest.mark.parametrize("revision", [STATEFUL, STATELESS])


@pytest.fixture(scope="module")
def secrets(shared_db: str) -> dict[str, str]:
    """Access tokens of two agents, of a fleet, and of a planner."""
    with opened(shared_db) as database:
        return {
            "ada": new_token(database, "t-ada", Role.CODER, "ada"),
            "bob": new_token(database, "t-bob", Role.CODER, "bob"),
            "ci": new_token(database, "ci", Role.CODER),
            "boss": new_token(database, "boss", Role.PLANNER, "boss"),
            "chief": new_token(database, "chief", Role.PLANNER, "chief"),
            "eve": new_token(database, "eve", Role.TESTER, "eve"),
        }


@pytest.fixture(scope="module")
def team(shared_db: str, secrets: dict[str, str]) -> Iterator[Site]:
    """The module's server."""
    with site(shared_db) as one:
        yield one


@pytest.fixture(scope="module")
def backlog(shared_db: str) -> Iterator[Database]:
    """The database beside the server."""
    with opened(shared_db) as database:
        yield database


@pytest.fixture
def caller(team: Site, secrets: dict[str, str]) -> Callable[..., Caller]:
    """Returns the caller with the access token of that name."""
    return lambda name, revision=STATELESS: team.caller(secrets[name], revision)


@pytest.fixture
def one(backlog: Database) -> int:
    """A new feature that can be claimed."""
    return backlog.write_now(lambda tx: create_bulk(tx, "admin", [new(f"one {next(_numbers)}")])).ids[0]


@ERAS
def test_an_agent_acts_in_its_own_name_alone(caller: Callable[..., Caller], one: int, revision: str) -> None:
    """Without a name the token's is used, the same name is accepted, and another one is refused."""
    ada = caller("ada", revision)
    refused = ada.refusal("feature_claim_and_get", feature_id=one, agent="bob")
    assert isinstance(refused, Forbidden)
    assert 'agent="ada"' in refused.fact
    claim = ada.call("feature_claim_and_get", feature_id=one)["claim"]
    assert ada.call("feature_get_by_id", feature_id=one)["claimed_by"] == "ada"
    assert isinstance(ada.refusal("feature_mark_in_progress", feature_id=one, agent="bob"), Forbidden)
    ada.call("feature_mark_passing", feature_id=one, claim_token=claim["token"])


@ERAS
def test_a_fleet_names_agents_below_its_own_name(caller: Callable[..., Caller], one: int, revision: str) -> None:
    """One token serves many agents, whose names begin with its own; a caller without a name gets one there."""
    fleet = caller("ci", revision)
    for name in ("bob", "ci", "ci2/a", "CI/a", " ci", "x/ci/a"):
        assert isinstance(fleet.refusal("feature_claim_and_get", feature_id=one, agent=name), Forbidden), name
    token = fleet.call("feature_claim_and_get", feature_id=one, agent="ci/17")["claim"]["token"]
    assert fleet.call("feature_get_by_id", feature_id=one)["claimed_by"] == "ci/17"
    fleet.call("feature_clear_in_progress", feature_id=one, claim_token=token)
    token = fleet.call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    assert fleet.call("feature_get_by_id", feature_id=one)["claimed_by"].startswith("ci/by-hand-")
    fleet.call("feature_mark_passing", feature_id=one, claim_token=token)


@ERAS
def test_no_resume_takes_another_agents_claim(caller: Callable[..., Caller], one: int, revision: str) -> None:
    """Neither resume nor force takes over the claim of another name."""
    token = caller("ada").call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    bob = caller("bob", revision)
    asked = {"feature_id": one, "resume": True, "force": True}
    assert isinstance(bob.refusal("feature_claim_and_get", **asked, agent="ada"), Forbidden)
    assert isinstance(bob.refusal("feature_claim_and_get", **asked), AlreadyClaimed)
    assert caller("ada").call("feature_mark_passing", feature_id=one, claim_token=token)["status"] == "passing"


def test_a_stolen_claim_token_is_of_no_use(caller: Callable[..., Caller], one: int) -> None:
    """Whoever reads another agent's claim token can neither use nor free its claim; a planner frees it without one."""
    token = caller("ada").call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    for tool, more in (
        ("feature_mark_passing", {}),
        ("feature_skip", {"reason": "no"}),
        ("feature_clear_in_progress", {}),
        ("feature_heartbeat", {}),
        ("feature_request_human_input", {"prompt": "Which?"}),
    ):
        refused = caller("bob").refusal(tool, feature_id=one, claim_token=token, **more)
        assert isinstance(refused, Forbidden), tool
        assert refused.details["holder"] == "ada"
    assert isinstance(caller("bob").refusal("feature_clear_in_progress", feature_id=one, force=True), Forbidden)
    caller("boss").call("feature_clear_in_progress", feature_id=one, force=True)
    assert isinstance(caller("ada").refusal("feature_heartbeat", feature_id=one, claim_token=token), ClaimLost)


def test_the_token_of_another_claim_that_has_ended_is_of_no_use(caller: Callable[..., Caller], one: int) -> None:
    """After a pass, the claim's token corrects the evidence for its own holder alone."""
    token = caller("ada").call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    caller("ada").call("feature_mark_passing", feature_id=one, claim_token=token, evidence={"summary": "works"})
    forged = {"feature_id": one, "claim_token": token, "evidence": {"summary": "forged"}}
    assert isinstance(caller("bob").refusal("feature_mark_passing", **forged), Forbidden)
    assert caller("ada").call("feature_get_by_id", feature_id=one)["evidence"]["summary"] == "works"
    caller("ada").call("feature_mark_passing", **(forged | {"evidence": {"summary": "works well"}}))
    assert caller("ada").call("feature_get_by_id", feature_id=one)["evidence"]["summary"] == "works well"


def test_a_fleet_does_not_confirm_its_own_passes(caller: Callable[..., Caller], backlog: Database, one: int) -> None:
    """Where another agent must confirm a pass, the token of a fleet cannot do so in another of its names."""
    rule(backlog, verifier="other")
    try:
        fleet = caller("ci")
        token = fleet.call("feature_claim_and_get", feature_id=one, agent="ci/1")["claim"]["token"]
        fleet.call("feature_mark_passing", feature_id=one, claim_token=token)
        fleet.call("feature_mark_passing", feature_id=one)  # its name is another one now
        assert "confirmed_by" not in fleet.call("feature_get_by_id", feature_id=one)
        caller("eve").call("feature_mark_passing", feature_id=one)
        assert fleet.call("feature_get_by_id", feature_id=one)["confirmed_by"] == "eve"
    finally:
        rule(backlog, verifier="anyone")


def asking(name: str, target: Site, secret: str, **more: object) -> dict[str, object]:
    """Return the result of a call of ask_user by a client that can show questions to its user."""
    question = {"question": "Which?", "header": "Which", "options": [{"label": "a"}, {"label": "b"}]}
    params = {"name": "ask_user", "arguments": {"questions": [question]}, **more}
    params["_meta"] = {
        f"{META}protocolVersion": STATELESS,
        f"{META}clientInfo": {"name": name, "version": "1"},
        f"{META}clientCapabilities": {"elicitation": {"form": {}}},
    }
    headers = {**ACCEPT, **bearer(secret), "mcp-protocol-version": STATELESS}
    headers |= {"mcp-method": "tools/call", "mcp-name": "ask_user"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx2.post(target.server.url, json=call, headers=headers)
    found: dict[str, object] = answer.json() if "json" in answer.headers["content-type"] else read(answer)
    return found


def test_no_worker_answers_in_a_persons_name(team: Site, secrets: dict[str, str]) -> None:
    """A client whose role does not plan is not asked to bring its user's answer, and what it brings is not taken."""
    answered = {"inputResponses": {"answer": {"action": "accept", "content": {"Which": "a"}}}}
    for more in ({}, answered):
        told = asking("coder", team, secrets["ada"], **more)["result"]
        assert isinstance(told, dict)
        assert told["structuredContent"]["state"] == "open", told


def test_the_state_of_a_question_is_its_askers_alone(team: Site, secrets: dict[str, str]) -> None:
    """What a server gives a client to send with the answer is refused from another access token."""
    told = asking("planner", team, secrets["boss"])["result"]
    assert isinstance(told, dict)
    given = {"inputResponses": {"answer": {"action": "accept", "content": {"Which": "a"}}}}
    given["requestState"] = told["requestState"]
    assert "error" in asking("planner", team, secrets["chief"], **given)
    assert "result" in asking("planner", team, secrets["boss"], **given)


def test_events_name_the_access_token(caller: Callable[..., Caller], one: int) -> None:
    """Every event of a caller's has the name of its access token, also of an agent and of a planner."""
    token = caller("ada").call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    caller("boss").call("feature_add_note", feature_id=one, text="Look again.")
    caller("ada").call("feature_mark_failing", feature_id=one, claim_token=token, reason="no")
    parts = caller("boss").call("feature_get_history", feature_id=one)["parts"]
    found = {(event["kind"], event["agent"], event.get("token_name")) for part in parts for event in part["events"]}
    assert found == {
        ("claim", "ada", "t-ada"),
        ("note", "boss", "boss"),
        ("fail", "ada", "t-ada"),
        ("create", "admin", None),
    }


def test_no_argument_changes_the_project_or_the_role(caller: Callable[..., Caller], one: int) -> None:
    """A call that names another project or role is refused, and one that names its own is carried out."""
    for more in ({"project": OTHER}, {"role": "planner"}):
        assert isinstance(caller("ada").refusal("feature_get_by_id", feature_id=one, **more), Forbidden)
    assert caller("ada").call("feature_get_by_id", feature_id=one, project="default", role="coder")["id"] == one


def test_a_server_of_one_project_refuses_the_tokens_of_others(shared_db: str, secrets: dict[str, str]) -> None:
    """A server that was started for a project serves its tokens, and answers those of other projects with 403."""
    with opened(shared_db, OTHER) as database:
        foreign = new_token(database, "theirs", Role.ALL)
    with site(shared_db, "--project", OTHER) as one:
        assert one.outcome(foreign, "feature_get_stats", {}) == "ok"
        assert one.outcome(secrets["ada"], "feature_get_stats", {}) == "403"


@ERAS
def test_a_role_sees_its_own_tools_alone(caller: Callable[..., Caller], revision: str) -> None:
    """Two tokens of one server are offered different tools, by their roles."""
    lists = [
        {tool["name"] for tool in read(caller(name, revision).post("tools/list", {}))["result"]["tools"]}
        for name in ("ada", "boss")
    ]
    assert "feature_create_bulk" in lists[1] - lists[0]
    assert "feature_claim_and_get" in lists[0] - lists[1]
