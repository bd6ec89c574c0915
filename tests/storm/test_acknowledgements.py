"""An acknowledgement counts once, even if another client repeats the call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dibs.verbs.release import UNCLAIMED
from dibs_proof import read_database
from dibs_proof.acknowledgements import acknowledged
from dibs_proof.history.history import Call, History
from dibs_schema.status import Kind

NEXT, FAIL, RELEASE = "feature_claim_and_get", "feature_mark_failing", "feature_clear_in_progress"


def answered(number: int, client: str, tool: str, answer: dict[str, Any], **arguments: Any) -> Call:
    """Return an answered call; a higher number is a later call."""
    return Call(client, number, tool, arguments, begun=number, ended=number + 0.5, answer=answer)


def claimed(token: str) -> dict[str, Any]:
    """Return the answer to a claim of feature 1."""
    return {"state": "claimed", "claim": {"token": token}, "feature": {"id": 1}}


def test_a_call_that_is_repeated_with_an_ended_token_counts_once() -> None:
    """A holder that repeats the call that ended an earlier claim has not ended the present claim."""
    failed = {"id": 1, "status": "pending", "failures": 1}
    history = [
        answered(1, "ada", NEXT, claimed("old")),
        answered(2, "ada", FAIL, failed, feature_id=1, claim_token="old"),
        answered(3, "bob", NEXT, claimed("new")),
        answered(4, "bob", FAIL, failed, feature_id=1, claim_token="old"),
        answered(5, "bob", FAIL, failed, feature_id=1),
    ]
    kinds = [one.kind for one in acknowledged(History(calls=history), {})]
    assert sorted(kinds) == sorted([Kind.CLAIM, Kind.FAIL, Kind.CLAIM, Kind.FAIL])


def test_a_release_of_an_unclaimed_feature_has_no_event() -> None:
    """A release that changed nothing counts for nothing, also if the client had a claim whose end was not answered."""
    released = {"id": 1, "status": "pending"}
    history = [
        answered(1, "ada", NEXT, claimed("old")),
        replace(answered(2, "ada", FAIL, {}, feature_id=1), answer=None, ended=None),
        answered(3, "ada", RELEASE, {**released, "hint": UNCLAIMED}, feature_id=1),
        answered(4, "bob", NEXT, claimed("new")),
        answered(5, "bob", RELEASE, {**released, "attempts": 1}, feature_id=1),
    ]
    found = [(one.kind, one.texts) for one in acknowledged(History(calls=history), {})]
    assert sorted(found) == sorted(
        [(Kind.CLAIM, frozenset()), (Kind.CLAIM, frozenset()), (Kind.RELEASE, frozenset("1"))]
    )


def test_the_release_at_the_end_of_a_connection_is_acknowledged_to_its_agent() -> None:
    """An agent that releases with its old token gets the acknowledgement of the release that its server's end made."""
    detail = {"reason": "the connection ended", "status": "pending", "attempts": 0}
    assert read_database._text(detail) == "0"
