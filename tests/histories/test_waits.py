"""The checker knows that features wait for questions: it accepts possible histories of them, and finds impossible ones."""

from __future__ import annotations

from typing import Any

import pytest

from dibs_proof.history.check import check
from dibs_proof.history.history import Call, History, InitialFeature
from dibs_proof.history.model import FeatureState

Step = tuple[str, dict[str, Any], Any]
"""The tool, its arguments, and the answer, a refusal as its object in `error`, or None if the answer was lost."""

WORK = {"id": 1, "name": "one", "category": "core", "description": "what"}
ASK, CLAIM, WAIT = "ask_user", "feature_mark_in_progress", "feature_request_human_input"
BEAT, PASS, ANSWER = "feature_heartbeat", "feature_mark_passing", "feature_answer_human_input"
asked: Step = (ASK, {"questions": [{}], "feature_ids": [1]}, {"question_id": 1, "state": "open"})
unheld: Step = (ASK, {"questions": [{}]}, {"question_id": 1, "state": "open"})
lost_ask: Step = (ASK, {"questions": [{}], "feature_ids": [1]}, None)
claimed: Step = (CLAIM, {"feature_id": 1}, {"id": 1, "status": "in_progress", "token": "t1"})
again: Step = (CLAIM, {"feature_id": 1}, {"id": 1, "status": "in_progress", "token": "t2"})
refused_for_nothing: Step = (CLAIM, {"feature_id": 1}, {"code": "unmet_dependencies", "unmet": []})
refused: Step = (CLAIM, {"feature_id": 1}, {"code": "waiting_for_human", "question_id": 1})
beat: Step = (BEAT, {"feature_id": 1, "claim_token": "t1"}, {"id": 1, "status": "in_progress"})
told: Step = (BEAT, {"feature_id": 1, "claim_token": "t1"}, {"id": 1, "status": "in_progress", "question_id": 1})
passed: Step = (PASS, {"feature_id": 1, "claim_token": "t1"}, {"id": 1, "status": "passing"})
not_passed: Step = (PASS, {"feature_id": 1, "claim_token": "t1"}, {"code": "waiting_for_human", "question_id": 1})
waits: Step = (WAIT, {"feature_id": 1, "claim_token": "t1", "question_id": 1}, {"id": 1, "status": "pending"})
too_late: Step = (WAIT, waits[1], {"code": "not_waiting_for_human"})
answered: Step = (ANSWER, {"question_id": 1, "answers": {}}, {"question_id": 1, "state": "answered"})
answered_by_feature: Step = (ANSWER, {"feature_id": 1, "answers": {}}, {"question_id": 1, "state": "answered"})
lost_answer: Step = (ANSWER, {"feature_id": 1, "answers": {}}, None)
withdrawn: Step = (ASK, {"question_id": 1, "cancel": True}, {"question_id": 1, "state": "cancelled"})


def history(*steps: Step) -> History:
    """Return a history of successive calls about feature 1."""
    calls = []
    for at, (tool, arguments, answer) in enumerate(steps, start=1):
        ended = at + 0.5 if answer is not None else None
        calls.append(Call("ada", at, tool, arguments, at, ended, answer, refused="code" in (answer or {})))
    return History(calls=calls, start={1: InitialFeature(FeatureState())})


@pytest.mark.parametrize(
    "steps",
    [
        [asked, refused, answered, claimed, passed],
        [asked, refused, answered_by_feature, claimed],
        [asked, refused, withdrawn, claimed],
        [asked, lost_answer, claimed],
        [asked, refused_for_nothing, answered],
        [asked, lost_answer, refused],
        [lost_ask, refused, answered, claimed],
        [unheld, claimed, waits, waits, refused, answered, again],
        [unheld, claimed, answered, too_late, beat, passed],
        [claimed, asked, told, not_passed, answered, beat, passed],
    ],
)
def test_a_feature_that_waits_until_the_question_is_closed_can_be_true(steps: list[Step]) -> None:
    """Refusals while the question may be open, and claims when it may be closed, have no violation."""
    assert check(history(*steps)) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([asked, claimed], "claimed while"),
        ([asked, answered, refused], "refused for dependencies that were met"),
        ([asked, answered, refused_for_nothing], "refused for dependencies that were met"),
        ([unheld, refused], "refused for dependencies that were met, or not its own"),
        ([claimed, asked, passed], "passed while"),
        ([claimed, asked, beat], "was not told"),
        ([unheld, claimed, waits, again], "claimed while"),
        ([unheld, claimed, too_late], "no call had closed it"),
    ],
)
def test_what_cannot_be_true_of_a_wait_is_named(steps: list[Step], words: str) -> None:
    """Each impossible history is found, with its violation."""
    (found,) = check(history(*steps))
    assert found.kind in ("dependency", "question")
    assert words in found.message
