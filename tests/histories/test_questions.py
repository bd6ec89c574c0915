"""The checker accepts possible histories of questions, and finds impossible ones."""

from __future__ import annotations

from typing import Any

import pytest

from dibs_proof.history.check import check
from dibs_proof.history.history import Call, History

READ, CLOSE = {"question_id": 1}, {"question_id": 1, "answers": {"Way": "Left"}}
ASK: dict[str, Any] = {"questions": [{"question": "Which?"}]}


def reported(state: str | None, number: int = 1) -> dict[str, Any] | None:
    """Return the answer that reports a question's state, or None."""
    return {"question_id": number, "state": state} if state is not None else None


def history(*steps: tuple[dict[str, Any], str | None]) -> History:
    """Return a history of successive calls: their arguments, and the reported state, or None if the answer was lost."""
    calls = []
    for at, (arguments, state) in enumerate(steps, start=1):
        tool = "feature_answer_human_input" if "answers" in arguments else "ask_user"
        ended = at + 0.5 if state is not None else None
        calls.append(Call("ada", at, tool, arguments, at, ended, reported(state)))
    return History(calls=calls)


@pytest.mark.parametrize(
    "steps",
    [
        [(ASK, "open"), (READ, "open"), (CLOSE, "answered"), (READ, "answered")],
        [(ASK, "open"), (CLOSE, None), (READ, "open"), (READ, "answered")],
    ],
)
def test_a_question_that_is_closed_once_can_be_true(steps: list[tuple[dict[str, Any], str | None]]) -> None:
    """A question that is open until it may have been closed has no violation."""
    assert check(history(*steps)) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([(ASK, "open"), (ASK, "open")], "the number 1 was given to two questions"),
        ([(ASK, "open"), (CLOSE, "answered"), (CLOSE, "answered")], "closed twice"),
        ([(ASK, "open"), (CLOSE, "answered"), (READ, "open")], "was answered, and reported as open"),
        ([(ASK, "open"), (READ, "answered")], "no call had closed it"),
    ],
)
def test_what_cannot_be_true_of_a_question_is_named(steps: list[tuple[dict[str, Any], str | None]], words: str) -> None:
    """Each impossible history of a question is found, with its violation."""
    (found,) = check(history(*steps))
    assert found.kind == "question"
    assert words in found.message
