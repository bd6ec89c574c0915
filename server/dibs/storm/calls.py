"""What an agent asks for: every tool, with arguments that are mostly right and often too late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Arguments = dict[str, Any]
REASON = "The storm says so."
FORM = [{"id": "colour", "label": "Which colour?", "type": "text"}]
REMEMBERED = 20


@dataclass(slots=True)
class Mind:
    """What one agent knows: the tokens that it holds, those that have ended, and how many features there are."""

    chance: Random
    features: int
    held: dict[int, str] = field(default_factory=dict)
    ended: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    made: int = 0

    def feature(self) -> int:
        """Any feature."""
        return self.chance.randint(1, self.features)

    def mine(self) -> int | None:
        """A feature that it holds, as far as it knows."""
        return self.chance.choice(list(self.held)) if self.held else None

    def learn(self, answer: Arguments) -> None:
        """Remember what an answer says of claims and of new features."""
        if answer.get("state") == "claimed":
            self.held[answer["feature"]["id"]] = answer["claim"]["token"]
        elif "token" in answer:
            self.held[answer["id"]] = answer["token"]
        elif answer.get("status") not in (None, "in_progress"):
            self.let_go(answer.get("id"))
        self.features = max([self.features, *answer.get("ids", [])])

    def let_go(self, feature: int | None) -> None:
        """A claim has ended; its token may still be sent, too late."""
        if feature is not None and feature in self.held:
            self.ended.append((feature, self.held.pop(feature)))

    def lose_all(self) -> None:
        """The server has gone, and every claim with it, soon."""
        for feature in tuple(self.held):
            self.let_go(feature)


Draw = Callable[[Mind], tuple[str, Arguments] | None]
"""A call, or None where the agent is in no position to make it."""


def _claim_next(mind: Mind) -> tuple[str, Arguments]:
    wait = mind.chance.choice((0, 0, 0, 1))
    return "feature_claim_and_get", {"wait_seconds": wait} if wait else {}


def _claim_once(mind: Mind) -> tuple[str, Arguments]:
    mind.made += 1
    return "feature_claim_and_get", {"request_id": f"{id(mind):x}-{mind.made}"}


def _on_any(tool: str, **more: Any) -> Draw:
    return lambda mind: (tool, {"feature_id": mind.feature(), **more})


def _on_mine(tool: str, *, with_token: bool = True, **more: Any) -> Draw:
    def draw(mind: Mind) -> tuple[str, Arguments] | None:
        feature = mind.mine()
        if feature is None:
            return None
        token = {"claim_token": mind.held[feature]} if with_token else {}
        return tool, {"feature_id": feature, **token, **more}

    return draw


def _too_late(mind: Mind) -> tuple[str, Arguments] | None:
    if not mind.ended:
        return None
    feature, token = mind.chance.choice(mind.ended)
    tool = mind.chance.choice(
        ("feature_mark_passing", "feature_mark_failing", "feature_skip", "feature_heartbeat")
    )
    reason = {"reason": REASON} if tool in ("feature_mark_failing", "feature_skip") else {}
    return tool, {"feature_id": feature, "claim_token": token, **reason}


def _create(mind: Mind) -> tuple[str, Arguments]:
    needs = [mind.feature()] if mind.chance.random() < 0.5 else []
    words = {"category": "storm", "name": "One more", "description": "Made in the storm.", "steps": ["Look."]}
    return "feature_create", words | {"dependencies": needs}


def _create_bulk(_: Mind) -> tuple[str, Arguments]:
    one = {
        "category": "storm",
        "name": "One of many",
        "description": "Made in the storm.",
        "steps": ["Look."],
    }
    chain = [one | {"depends_on_indices": [index - 1] if index else []} for index in range(5)]
    return "feature_create_bulk", {"features": chain}


def _edge(tool: str) -> Draw:
    return lambda mind: (tool, {"feature_id": mind.feature(), "dependency_id": mind.feature()})


CALLS: tuple[tuple[int, Draw], ...] = (
    (30, _claim_next),
    (4, _claim_once),
    (6, _on_any("feature_claim_and_get")),
    (4, _on_any("feature_mark_in_progress")),
    (22, _on_mine("feature_mark_passing", evidence={"summary": "It stood."})),
    (5, _on_mine("feature_mark_passing", with_token=False)),
    (6, _on_mine("feature_mark_failing", reason=REASON)),
    (3, _on_mine("feature_skip", reason=REASON)),
    (3, _on_mine("feature_clear_in_progress")),
    (3, _on_mine("feature_request_human_input", prompt="Which?", fields=FORM)),
    (5, _on_mine("feature_heartbeat", note="Still at it.")),
    (8, _too_late),
    (2, _on_any("feature_answer_human_input", answers={"colour": "blue"})),
    (1, _on_any("feature_answer_human_input", cancel=True)),
    (4, _on_any("feature_mark_failing", reason=REASON)),
    (2, _on_any("feature_mark_passing")),
    (1, _on_any("feature_skip", reason=REASON)),
    (3, _on_any("feature_add_note", text="A note in the storm.")),
    (3, _on_any("feature_update", retry=True)),
    (1, _on_any("feature_update", archived=True)),
    (2, _on_any("feature_update", archived=False)),
    (2, _on_any("feature_update", priority=3)),
    (2, _create),
    (1, _create_bulk),
    (2, _edge("feature_add_dependency")),
    (3, _edge("feature_remove_dependency")),
    (1, lambda mind: ("feature_set_dependencies", {"feature_id": mind.feature(), "dependency_ids": []})),
    (1, lambda _: ("feature_get_for_regression", {"limit": 2})),
    (3, _on_any("feature_get_by_id")),
    (1, _on_any("feature_get_history")),
    (1, lambda _: ("feature_get_stats", {})),
    (1, lambda _: ("feature_get_ready", {})),
    (1, lambda _: ("feature_get_blocked", {})),
    (1, lambda _: ("feature_search", {"text": "storm", "limit": 5})),
    (1, lambda _: ("feature_get_graph", {"limit": 20})),
)
"""How often each call is made, and how it is drawn."""


def draw(mind: Mind) -> tuple[str, Arguments]:
    """The next call."""
    weights = [weight for weight, _ in CALLS]
    while True:
        _, chosen = mind.chance.choices(CALLS, weights)[0]
        call = chosen(mind)
        if call is not None:
            return call
