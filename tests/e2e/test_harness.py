"""The call sequences of a harness's coder and tester run to their ends in real clients."""

from __future__ import annotations

from typing import Any

from clients.reader import calls_named_in
from e2e.backlog import Backlog
from e2e.clients import Client
from e2e.conftest import NewPlace
from e2e.running import play
from e2e.script import Call, Script

Answers = list[dict[str, Any]]
CLAIM, MARK, PASS = "feature_claim_and_get", "feature_mark_in_progress", "feature_mark_passing"


def on(tool: str, feature: int, **more: Any) -> Call:
    """Call a tool with a feature's id, and without a token."""
    return Call(tool, {"feature_id": feature, **more})


def as_coder(answers: Answers) -> Script:
    """Claim and mark two features, in either order, and pass each; then give back what is not claimed."""
    for call in (
        on(CLAIM, 1),
        on(MARK, 1),
        on("feature_add_note", 1, text="half done"),
        on(PASS, 1, evidence={"summary": "12 tests pass"}),
        on(MARK, 2),
        on(CLAIM, 2),
        on(PASS, 2),
        on("feature_clear_in_progress", 2),
    ):
        answers.append((yield call).data())


def as_tester(answers: Answers) -> Script:
    """Report a passing feature as broken, mend it, and pass it: claim it first, if and as the refusal says."""
    yield on("feature_get_by_id", 1)
    yield on("feature_mark_failing", 1, reason="the page is empty")
    refused = (yield on(PASS, 1)).data()["error"]
    (named,) = calls_named_in(refused["message"])
    assert named.arguments["feature_id"] == 1, refused
    for call in (Call(named.tool, named.arguments), on(PASS, 1, evidence={"summary": "the page has a list"})):
        answers.append((yield call).data())


def test_a_coder_that_claims_and_marks_passes_without_a_token(
    client: Client, backlog: Backlog, new_place: NewPlace
) -> None:
    """Claim and mark complete each other in both orders, the pass needs no token, and releasing nothing is a success."""
    backlog.add_plain(2)
    answers: Answers = []
    play(client, new_place(backlog.server("--role", "coder")), as_coder(answers))
    assert [one for one in answers if "error" in one] == []
    claimed, marked, _, passed, marked_first, claimed_then, passed_too, released = answers
    for first, second in ((claimed["claim"], marked), (claimed_then["claim"], marked_first)):
        assert first["token"] == second["token"]
    assert marked["already_claimed"] is claimed_then["already_claimed"] is True
    assert claimed_then["feature"]["steps"] == ["look at it"]
    assert (passed["status"], passed_too["status"], released["status"]) == ("passing",) * 3
    assert backlog.statuses() == {1: "passing", 2: "passing"}
    assert backlog.claims() == 2


def test_a_tester_mends_and_passes_what_it_reported(client: Client, backlog: Backlog, new_place: NewPlace) -> None:
    """The refusal of the pass names a claim that the tester may make, and the pass then succeeds."""
    backlog.add({"name": "The page", "passes": True})
    answers: Answers = []
    play(client, new_place(backlog.server("--role", "tester")), as_tester(answers))
    claimed, passed = answers
    assert (claimed["state"], claimed["feature"]["id"]) == ("claimed", 1)
    assert passed["status"] == "passing"
    assert backlog.statuses() == {1: "passing"}
    assert backlog.claims() == 1
