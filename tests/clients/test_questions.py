"""A planner's question holds two features up: workers are not handed them, and one answer, or a withdrawal, serves all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from clients.reader import Reader, agents_of
from dibs.database import Database, open_database
from dibs.settings import Settings
from verbs.stage import add, is_sound

pytestmark = pytest.mark.anyio

CLAIM, PASS, WAIT = "feature_claim_and_get", "feature_mark_passing", "feature_request_human_input"
QUESTION = {"question": "Which port?", "header": "Port", "options": [{"label": "80"}, {"label": "8080"}]}


@pytest.fixture
def backlog(db: str) -> Iterator[Database]:
    """A backlog with three features."""
    opened = open_database(Settings(db=db))
    add(opened, 3)
    yield opened
    opened.close(patience=5)


@pytest.fixture
async def agents(db: str, backlog: Database) -> AsyncIterator[dict[str, Reader]]:
    """A planner and two coders, each with its own server."""
    assert backlog.exists()
    roles = {"planner": "planner", "ada": "coder", "grace": "coder"}
    async with agents_of(db, **{name: ("--role", role, "--agent", name) for name, role in roles.items()}) as agents:
        yield agents


async def _ask(planner: Reader, *waiting: int) -> int:
    asked = await planner.call("ask_user", questions=[QUESTION], feature_ids=list(waiting))
    assert (asked["state"], asked.get("feature_ids", [])) == ("open", list(waiting))
    return int(asked["question_id"])


async def test_one_answer_serves_all_that_wait(db: str, backlog: Database, agents: dict[str, Reader]) -> None:
    """Two features wait for the planner's question, and a third joins it; a person answers once, in the shell."""
    planner, ada, grace = agents.values()
    question = await _ask(planner, 1, 2)
    assert (await ada.call(CLAIM))["feature"]["id"] == 3
    said = await grace.refused("waiting_for_human", CLAIM, feature_id=1)
    assert (said["question_id"], "Which port?" in said["message"]) == (question, True)
    idle = await grace.follow(said)
    assert (idle["state"], "questions" in idle) == ("waiting_for_claims", False)
    blocked = await planner.call("feature_get_blocked")
    assert [row["why"] for row in blocked["features"]] == [f"question {question}: Which port?"] * 2
    assert blocked["questions"] == [
        {"question_id": question, "prompt": "Which port?", "asked_by": "planner", "features": [1, 2]}
    ]
    joined = await ada.call(WAIT, feature_id=3, question_id=question)
    assert (joined["status"], joined["question_id"]) == ("pending", question)
    idle = await ada.call(CLAIM)
    assert (idle["state"], idle["counts"]["to_answer"]) == ("waiting_for_human", 3)
    assert idle["questions"][0]["features"] == [1, 2, 3]
    command = [sys.executable, "-m", "dibs", "answer", "--question", str(question), "--set", "Port=8080", "--db", db]
    answered = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    assert answered.stdout.decode().endswith("Features that waited for it: 1, 2, 3.\n")
    for agent, feature in ((ada, 1), (grace, 2)):
        work = (await agent.call(CLAIM))["feature"]
        assert work["id"] == feature
        assert work["question_answers"][0]["answers"] == {"Port": "8080"}
        assert (await agent.call(PASS, feature_id=feature))["status"] == "passing"
    assert (await grace.call(CLAIM))["feature"]["question_answers"][0]["question_id"] == question
    assert is_sound(backlog)


async def test_an_answer_wakes_a_claim_that_waits(backlog: Database, agents: dict[str, Reader]) -> None:
    """An answer by the planner's tool, to a feature that waits, serves both and ends the wait of a claim."""
    planner, ada, _ = agents.values()
    await _ask(planner, 1, 2, 3)
    claims: list[dict[str, Any]] = []

    async def wait_for_work() -> None:
        claims.append(await ada.call(CLAIM, wait_seconds=40))

    with anyio.fail_after(35):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_work)
            await anyio.sleep(0.5)
            answers = {"Port": "80"}
            answered = await planner.call("feature_answer_human_input", feature_id=2, answers=answers)
            assert answered["feature_ids"] == [1, 2, 3]
    assert claims[0]["feature"]["id"] == 1
    assert is_sound(backlog)


async def test_a_withdrawal_frees_and_the_holder_was_told(backlog: Database, agents: dict[str, Reader]) -> None:
    """A question reaches a feature's holder, who gives it up at no cost; its asker withdraws it, and no other coder."""
    planner, ada, grace = agents.values()
    await ada.call(CLAIM, feature_id=1)
    question = await _ask(planner, 1, 2, 3)
    heard = await ada.call("feature_heartbeat", feature_id=1)
    assert (heard["question_id"], "at no cost" in heard["hint"]) == (question, True)
    said = await ada.refused("waiting_for_human", PASS, feature_id=1)
    released = await ada.follow(said)
    assert (released["status"], "attempts" in released) == ("pending", False)
    await grace.refused("forbidden", "ask_user", question_id=question, cancel=True)
    withdrawn = await planner.call("ask_user", question_id=question, cancel=True)
    assert (withdrawn["state"], withdrawn["feature_ids"]) == ("cancelled", [1, 2, 3])
    work = (await grace.call(CLAIM))["feature"]
    assert (work["id"], "question_answers" in work) == (1, False)
    mine = await grace.call("ask_user", questions=[QUESTION])
    assert (await grace.call("ask_user", question_id=mine["question_id"], cancel=True))["state"] == "cancelled"
    assert is_sound(backlog)
