"""What a recorded history says that its clients were told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dibs.histories.history import Call
from dibs.histories.reading import claimed_by
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
    live: set[tuple[str, int]] = set()
    for call in sorted(history, key=lambda one: one.begun):
        feature = claimed_by(call)
        if feature is not None:
            live.add((call.client, feature))
            yield Acknowledged(Kind.CLAIM, feature, "", Status.IN_PROGRESS)
        elif call.tool in ENDING and not call.refused and (call.client, call.arguments["feature_id"]) in live:
            live.remove((call.client, call.arguments["feature_id"]))
            if call.answer is not None:
                yield Acknowledged(ENDING[call.tool], call.answer["id"], "", call.answer["status"])
        elif call.tool in NOTING and _leaves_a_note(call) and call.answer is not None and not call.refused:
            yield Acknowledged(NOTING[call.tool], call.answer["id"], "", call.answer["status"])
