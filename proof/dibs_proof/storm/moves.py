"""The rarer moves of a storm: how often each was made, so that a report shows that the checks have judged them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from dibs_proof.history.expectations import has_already_claimed
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CLAIMS, new_ids, token_of
from dibs_proof.read_database import Event
from dibs_schema.status import Kind, Status

BY_ARGUMENT = {
    ("feature_mark_failing", "keep"): "reports that kept the claim",
    ("ask_user", "feature_ids"): "questions that held features",
    ("feature_request_human_input", "question_id"): "claims given up for a question",
    ("feature_answer_human_input", "question_id"): "questions answered",
    ("ask_user", "cancel"): "questions withdrawn",
    ("feature_update", "retry"): "back-offs or quarantines lifted",
}
"""The moves that a tool makes with an argument."""
BY_TOOL = {
    "feature_return": "passes returned by a person",
    "feature_reject": "passes rejected by a person",
    "feature_move": "places in the queue changed",
}
"""The moves that a tool always makes."""
MOVES = (
    "own claims repeated",
    "claims adopted",
    "claims regained",
    "testers' claims of what they reported",
    "batches sent again",
    "reopened dependencies that reached a dependent",
    *BY_ARGUMENT.values(),
    *BY_TOOL.values(),
)


def count_moves(history: History, events: Iterable[Event]) -> dict[str, int]:
    """Return how often each of `MOVES` was made: the calls that succeeded, or the events."""
    found: Counter[str] = Counter()
    adopted: set[str] = set()
    for call in history.calls:
        if call.lost or call.refused:
            continue
        found.update(_moves(history, call))
        if has_already_claimed(call) and history.connection(call.client).claim == token_of(call):
            adopted.add(call.client)
    found["claims adopted"] = len(adopted)
    for event in events:
        found["claims regained"] += event.kind == Kind.RESUME and event.source == Status.PENDING
        found["reopened dependencies that reached a dependent"] += event.kind == Kind.UNMET
    return {move: found[move] for move in MOVES}


def _moves(history: History, call: Call) -> Iterator[str]:
    """Yield the moves that a successful call made."""
    if call.tool in CLAIMS and token_of(call) is not None:
        server = history.connection(call.client)
        if has_already_claimed(call) and server.claim is None:
            yield "own claims repeated"
        elif not has_already_claimed(call) and server.role == "tester":
            yield "testers' claims of what they reported"
    if call.tool == "feature_create_bulk" and not new_ids(call):
        yield "batches sent again"
    if call.tool in BY_TOOL:
        yield BY_TOOL[call.tool]
    for (tool, argument), move in BY_ARGUMENT.items():
        if call.tool == tool and call.arguments.get(argument) and not has_already_claimed(call):
            yield move
