"""The check of questions to the user: each is closed once, and all its readers see the same answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from dibs_proof.history.history import Call, History
from dibs_proof.history.violations import Violation

ANSWERS = "feature_answer_human_input"
CLOSED = ("answered", "cancelled")
"""The states of a question that is closed."""


def questions_are_closed_once(history: History) -> Iterator[Violation]:
    """Yield a violation for each id given to two questions, and for each question whose readers saw different answers."""
    asked: dict[int, Call] = {}
    about: dict[int, list[Call]] = defaultdict(list)
    lost: list[Call] = []
    for call in history.calls:
        number = call.arguments.get("question_id")
        if number is None and call.answer is not None and not call.refused:
            number = call.answer.get("question_id") if call.tool in ("ask_user", ANSWERS) else None
            if number is not None and call.tool == "ask_user":
                if number in asked:
                    yield _violation(f"the number {number} was given to two questions", asked[number], call)
                asked[number] = call
        if number is not None:
            about[number].append(call)
        elif call.tool == ANSWERS and call.lost:
            lost.append(call)  # about a feature, which may have waited for any question
    for number, calls in about.items():
        yield from _closed_once(number, [*calls, *lost])


def _closed_once(number: int, calls: list[Call]) -> Iterator[Violation]:
    closing = [call for call in calls if call.tool == ANSWERS or call.arguments.get("cancel")]
    tried = [call for call in closing if call.lost or not call.refused]
    tried += [call for call in calls if "questions" in call.arguments and _state(call) in CLOSED]
    done = [call for call in tried if not call.lost]
    for before, call in pairwise(done):
        yield _violation(f"question {number} was closed twice", before, call)
    for call in calls:
        if call in tried:
            continue
        may_be_closed = any(one.begun <= call.until for one in tried)
        if (_state(call) in CLOSED or call.code == "not_waiting_for_human") and not may_be_closed:
            yield _violation(f"question {number} was reported closed, but no call had closed it", call)
        closed = next((one for one in done if one.until < call.begun), None)
        if closed is not None and _state(call) not in (None, _state(closed)):
            message = f"question {number} was {_state(closed)}, and reported as {_state(call)}"
            yield _violation(message, closed, call)


def _state(call: Call) -> str | None:
    return None if call.lost or call.refused else (call.answer or {}).get("state")


def _violation(message: str, *calls: Call) -> Violation:
    return Violation("question", None, message, calls)
