"""What a recorded history says that its clients were told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dibs.histories.history import Call
from dibs.histories.reading import claimed_by, token_of
from dibs.proof.told import Acknowledged
from dibs_schema.status import Kind, Status

ENDING = {
    "feature_mark_passing": Kind.PASS,
    "feature_mark_failing": Kind.FAIL,
    "feature_skip": Kind.SKIP,
    "feature_request_human_input": Kind.ASK,
    "feature_clear_in_progress": Kind.RELEASE,
}
"""The tools that end a claim, with what the journal calls it."""
NOTING = {"feature_add_note": Kind.NOTE, "feature_heartbeat": Kind.HEARTBEAT}
"""The tools that leave a note; a heartbeat without one leaves no event."""


def _leaves_a_note(call: Call) -> bool:
    return call.tool != "feature_heartbeat" or "note" in call.arguments


def acknowledged(history: Iterable[Call]) -> Iterator[Acknowledged]:
    """Every move of a claim, and every note, of which a client was told that it is done.

    By whom is left out, since a client without a name is not told what it is called. A repeated move, which is
    acknowledged again, counts once.
    """
    given: dict[tuple[str, int], str] = {}
    live: set[str] = set()
    for call in sorted(history, key=lambda one: one.begun):
        feature, token = claimed_by(call), token_of(call)
        if feature is not None and token is not None:
            given[call.client, feature] = token
            live.add(token)
            yield Acknowledged(Kind.CLAIM, feature, "", Status.IN_PROGRESS)
        elif call.tool in ENDING and not call.refused:
            known = given.get((call.client, call.arguments["feature_id"]), "")
            token = call.arguments.get("claim_token", known)
            if token in live and call.answer is not None:
                yield Acknowledged(ENDING[call.tool], call.answer["id"], "", call.answer["status"])
            live.discard(token)
        elif call.tool in NOTING and _leaves_a_note(call) and call.answer is not None and not call.refused:
            yield Acknowledged(NOTING[call.tool], call.answer["id"], "", call.answer["status"])
