"""The tools of AutoForge's `mcp_server/feature_mcp.py` (AGPL, https://github.com/AutoForgeAI/autoforge).

It leaves the choice of a feature to its caller: an agent reads what is ready, claims one of those, and passes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bench.adapters import Planned
from bench.driver import Failed, Timed
from bench.fleet import Agent, Call, Pause

AGAIN = 0.01
"""Seconds until an agent that found nothing asks again."""
SHOWN = 10
"""Ready features that an agent chooses from, each agent another one first; the tool's default."""


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
    """It gives the feature to whoever asks, and says in `already_claimed` whether somebody has it."""
    answer = said(timed)
    if "error" in answer:
        raise Failed(f"a claim was refused: {answer}")
    return not answer["already_claimed"]


def finish(feature: int) -> Call:
    return Call("feature_mark_passing", {"feature_id": feature})


def agent(number: int) -> Agent:
    passed = 0
    while True:
        ready = said((yield Call("feature_get_ready", {"limit": SHOWN})))["features"]
        if not ready:
            stats = said((yield Call("feature_get_stats")))
            if stats["passing"] == stats["total"]:
                return passed
            yield Pause(AGAIN)
            continue
        first = number % len(ready)
        for feature in [*ready[first:], *ready[:first]]:
            claimed = said((yield claim(feature["id"])))
            if "error" in claimed or claimed["already_claimed"]:
                continue
            done = said((yield finish(feature["id"])))
            if "error" in done:
                raise Failed(f"a pass was refused: {done}")
            passed += 1
            break


def said(timed: Timed | None) -> dict[str, Any]:
    """The JSON in an answer's text."""
    assert timed is not None, "calls are answered"
    found: dict[str, Any] = json.loads(timed.answer["content"][0]["text"])
    return found
