"""An acknowledgement counts once, even if another client repeats the call."""

from __future__ import annotations

from typing import Any

from dibs_proof.acknowledgements import acknowledged
from dibs_proof.history.history import Call, History
from dibs_schema.status import Kind

NEXT, FAIL = "feature_claim_and_get", "feature_mark_failing"


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
