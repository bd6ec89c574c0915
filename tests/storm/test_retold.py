"""What clients were told is counted once, whoever repeats it."""

from __future__ import annotations

from typing import Any

from dibs_proof.checks.acknowledgements import acknowledged
from dibs_proof.history.history import Call, History
from dibs_schema.status import Kind

NEXT, FAIL = "feature_claim_and_get", "feature_mark_failing"


def told(number: int, client: str, tool: str, answer: dict[str, Any], **arguments: Any) -> Call:
    """An answered call, in the order of the numbers."""
    return Call(client, number, tool, arguments, begun=number, ended=number + 0.5, answer=answer)


def claimed(token: str) -> dict[str, Any]:
    """The answer of a claim of feature 1."""
    return {"state": "claimed", "claim": {"token": token}, "feature": {"id": 1}}


def test_a_move_that_is_repeated_with_an_ended_token_counts_once() -> None:
    """Whoever holds a feature and repeats what ended an earlier claim of it has not ended the present one."""
    failed = {"id": 1, "status": "pending", "failures": 1}
    history = [
        told(1, "ada", NEXT, claimed("old")),
        told(2, "ada", FAIL, failed, feature_id=1, claim_token="old"),
        told(3, "bob", NEXT, claimed("new")),
        told(4, "bob", FAIL, failed, feature_id=1, claim_token="old"),
        told(5, "bob", FAIL, failed, feature_id=1),
    ]
    kinds = [one.kind for one in acknowledged(History(calls=history), {})]
    assert sorted(kinds) == sorted([Kind.CLAIM, Kind.FAIL, Kind.CLAIM, Kind.FAIL])
