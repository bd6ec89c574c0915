"""Adapters that ask servers with comparable tools to do the same work, one class for each.

An adapter speaks the tools of one kind of server over stdio. It contains no code of that server.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.driver import Failed, Timed
from bench.fleet import Agent, Call, Pause

RETRY = 0.01
"""Seconds until an agent that found no ready feature asks again."""
CLAIM, PASS, STATS = "feature_claim_and_get", "feature_mark_passing", "feature_get_stats"


@dataclass(frozen=True, slots=True)
class Planned:
    """A feature to create: its name and description, and the positions of its dependencies in its batch."""

    category: str
    name: str
    description: str
    steps: Sequence[str]
    depends_on_indices: Sequence[int]


class Adapter(ABC):
    """The tools of one kind of server. The tools that Dibs and AutoForge have in common are here."""

    def fill(self, batch: Sequence[Planned]) -> Iterator[Call]:
        """Return the calls that create the features after the existing features; numbers continue from 1."""
        made = [
            {
                "category": one.category,
                "name": one.name,
                "description": one.description,
                "steps": list(one.steps),
                "depends_on_indices": list(one.depends_on_indices),
            }
            for one in batch
        ]
        yield Call("feature_create_bulk", {"features": made})

    def look(self) -> Call:
        """Return a call that only reads; a server that answers it has opened its database."""
        return Call(STATS)

    def claim(self, feature: int) -> Call:
        """Return the call with which many servers claim the same feature."""
        return Call(CLAIM, {"feature_id": feature})

    @abstractmethod
    def won(self, timed: Timed) -> bool:
        """Return whether the claim got the feature. Raises Failed if it was neither won nor lost."""

    def finish(self, feature: int) -> Call:
        """Return the call with which the winner ends its claim."""
        return Call(PASS, {"feature_id": feature})

    @abstractmethod
    def agent(self, number: int) -> Agent:
        """Claim and pass ready features until none is left, and return how many it passed."""


class Dibs(Adapter):
    """The tools of Dibs: the server hands out the features."""

    def won(self, timed: Timed) -> bool:
        """Return whether the claim was granted; a refusal says that the feature is claimed already."""
        answer = content(timed)
        if timed.answer.get("isError"):
            if answer["error"]["code"] != "already_claimed":
                raise Failed(f"a claim was refused: {answer}")
            return False
        return True

    def agent(self, number: int) -> Agent:  # noqa: ARG002 - every agent does the same
        """Claim the next feature and pass it, until the backlog is complete."""
        passed = 0
        while True:
            claimed = content((yield Call(CLAIM)))
            if claimed.get("state") == "complete":
                return passed
            if claimed.get("state") != "claimed":
                yield Pause(RETRY)
                continue
            held = {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]}
            timed = yield Call(PASS, held)
            if timed is None or timed.answer.get("isError"):
                raise Failed(f"a pass was refused: {timed}")
            passed += 1


class AutoForge(Adapter):
    """The tools of AutoForge's `mcp_server/feature_mcp.py` (AGPL, https://github.com/AutoForgeAI/autoforge).

    An agent chooses the feature itself: it reads the ready features, claims one of them, and passes it.
    """

    SHOWN = 10
    """Ready features that an agent chooses from; the tool's default."""

    def won(self, timed: Timed) -> bool:
        """Return whether `already_claimed` is false: the server gives the feature to every caller."""
        answer = _text(timed)
        if "error" in answer:
            raise Failed(f"a claim was refused: {answer}")
        return not answer["already_claimed"]

    def agent(self, number: int) -> Agent:
        """Read the ready features, claim one of them, and pass it. Each agent tries another feature first."""
        passed = 0
        while True:
            ready = _text((yield Call("feature_get_ready", {"limit": self.SHOWN})))["features"]
            if not ready:
                stats = _text((yield Call(STATS)))
                if stats["passing"] == stats["total"]:
                    return passed
                yield Pause(RETRY)
                continue
            first = number % len(ready)
            for feature in [*ready[first:], *ready[:first]]:
                claimed = _text((yield self.claim(feature["id"])))
                if "error" in claimed or claimed["already_claimed"]:
                    continue
                done = _text((yield self.finish(feature["id"])))
                if "error" in done:
                    raise Failed(f"a pass was refused: {done}")
                passed += 1
                break


ADAPTERS: dict[str, Adapter] = {"autoforge": AutoForge(), "dibs": Dibs()}


def content(timed: Timed | None) -> dict[str, Any]:
    """Return the structured content of an answer."""
    assert timed is not None, "a call is answered"
    found: dict[str, Any] = timed.answer["structuredContent"]
    return found


def _text(timed: Timed | None) -> dict[str, Any]:
    """Return the JSON in the text of an answer."""
    assert timed is not None, "a call is answered"
    found: dict[str, Any] = json.loads(timed.answer["content"][0]["text"])
    return found
