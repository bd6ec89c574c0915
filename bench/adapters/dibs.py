"""The tools of Dibs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.adapters import Planned, content
from bench.driver import Failed, Timed
from bench.fleet import Agent, Call, Pause

AGAIN = 0.01
"""Seconds until an agent that found nothing asks again."""


def fill(batch: Sequence[Planned]) -> Iterator[Call]:
    yield Call(
        "feature_create_bulk",
        {
            "features": [
                {
                    "category": one.category,
                    "name": one.name,
                    "description": one.description,
                    "steps": list(one.steps),
                    "depends_on_indices": list(one.needs),
                }
                for one in batch
            ]
        },
    )


def look() -> Call:
    return Call("feature_get_stats")


def claim(feature: int) -> Call:
    return Call("feature_claim_and_get", {"feature_id": feature})


def won(timed: Timed) -> bool:
    answer = content(timed)
    if timed.answer.get("isError"):
        if answer["error"]["code"] != "already_claimed":
            raise Failed(f"a claim was refused: {answer}")
        return False
    return True


def finish(feature: int) -> Call:
    return Call("feature_mark_passing", {"feature_id": feature})


def agent(number: int) -> Agent:  # noqa: ARG001 - the server hands out the features
    passed = 0
    while True:
        claimed = content((yield Call("feature_claim_and_get")))  # type: ignore[arg-type]  # calls are answered
        if claimed.get("state") == "complete":
            return passed
        if claimed.get("state") != "claimed":
            yield Pause(AGAIN)
            continue
        timed = yield Call(
            "feature_mark_passing",
            {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]},
        )
        assert timed is not None, "calls are answered"
        if timed.answer.get("isError"):
            raise Failed(f"a pass was refused: {timed.answer}")
        passed += 1
