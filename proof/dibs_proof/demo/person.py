"""A person at a connection of her own: answers what agents ask, and puts stuck features back."""

from __future__ import annotations

from typing import Any

import anyio

from dibs.queries.open_questions import open_requests
from dibs_proof.demo.caller import Caller
from dibs_proof.demo.scene import PERSON
from dibs_proof.demo.stage import Stage
from dibs_schema.status import Kind, Status

LOOK = 0.25
"""Seconds between two looks at the backlog."""


async def look_after(stage: Stage, caller: Caller) -> None:
    """Look after the backlog until the play is over; what she sees is what the screen counts."""
    while not stage.over.is_set():
        stage.scene.counts = (await caller.ask("feature_get_stats"))["counts"]
        if stage.scene.counts.get(Status.NEEDS_HUMAN):
            await _answer_all(stage, caller)
        if stage.scene.counts.get(Status.STUCK):
            await _put_all_back(stage, caller)
        with anyio.move_on_after(LOOK):
            await stage.over.wait()
    stage.scene.counts = (await caller.ask("feature_get_stats"))["counts"]


async def _answer_all(stage: Stage, caller: Caller) -> None:
    for request in await stage.database.read(open_requests):  # what `dibs answer` shows a person
        assert request.feature_id is not None, "these are the requests about features"
        answers = {field["id"]: _reply(field) for field in request.fields}
        await caller.move(Kind.ANSWER, "feature_answer_human_input", request.feature_id, answers=answers)
        stage.scene.answers += 1
        what = (
            f"The {PERSON} answers about feature {request.feature_id}: whoever gets it next gets the answer."
        )
        stage.say_first("answer", what)


async def _put_all_back(stage: Stage, caller: Caller) -> None:
    stuck = await caller.ask("feature_search", status=Status.STUCK.value, limit=100)
    for row in stuck["features"]:
        await caller.move(Kind.RETRY, "feature_update", row["id"], retry=True)
        stage.scene.retries += 1
        stage.say_first(
            "retry", f"The {PERSON} has looked at feature {row['id']} and puts it back into the queue."
        )


def _reply(field: dict[str, Any]) -> str | bool:
    if field.get("type") == "boolean":
        return True
    return str(field["options"][0]) if field.get("options") else "Do as you think best."
