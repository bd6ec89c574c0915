"""What an agent asks for: every tool, with arguments that are mostly right and often too late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

Arguments = dict[str, Any]
Call = tuple[str, Arguments]
FORM = [{"id": "colour", "label": "Which colour?", "type": "text"}]
QUESTION = [
    {
        "question": "Which way?",
        "header": "Way",
        "options": [{"label": "Left", "description": "West."}, {"label": "Right", "description": "East."}],
    }
]
FILES = ("src/**", "src/*.py", "src/app/main.py", "docs", "docs/*.md", "README.md")
FILED = 0.3
"""How many features say which files they change."""
REMEMBERED = 20
ASKED_AGAIN = 0.5
"""How often a call is repeated whose answer was lost with the server, as soon as there is another one."""


@dataclass(slots=True)
class Mind:
    """What one agent knows: the tokens that it holds, those that have ended, and how many features there are.

    `unanswered` are calls with a request_id that may have been done by a server that is gone, and `asked` the
    questions to the user that it knows of. `named` says whether its present server gives it a name.
    """

    chance: Random
    features: int
    name: str = "nobody"
    named: bool = False
    held: dict[int, str] = field(default_factory=dict)
    ended: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    unanswered: list[Call] = field(default_factory=list)
    asked: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    made: int = 0

    def words(self, what: str) -> str:
        """A text that nobody else says, and it says once: so that its event can be told from any other."""
        self.made += 1
        return f"{what} ({self.name}, {self.made})"

    def feature(self) -> int:
        """Any feature."""
        return self.chance.randint(1, self.features)

    def mine(self) -> int | None:
        """A feature that it holds, as far as it knows."""
        return self.chance.choice(list(self.held)) if self.held else None

    def learn(self, answer: Arguments) -> None:
        """Remember what an answer says of claims and of new features."""
        if "question_id" in answer:
            self.asked.append(answer["question_id"])
        elif answer.get("state") == "claimed":
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

    def miss(self, call: Call) -> None:
        """No answer came. Who has no name cannot ask again what a claim of its connection has become."""
        tool, arguments = call
        if "request_id" in arguments and (self.named or tool != "feature_claim_and_get"):
            self.unanswered.append(call)

    def lose_all(self) -> None:
        """The server has gone, and every claim with it, soon."""
        for feature in tuple(self.held):
            self.let_go(feature)


Draw = Callable[[Mind], Call | None]
"""A call, or None where the agent is in no position to make it."""
Words = dict[str, str]
"""Arguments that are said in words of their own in each call: what each of them begins with."""
WHY: Words = {"reason": "The storm says so"}


def _said(mind: Mind, words: Words | None) -> Arguments:
    return {name: mind.words(what) for name, what in (words or {}).items()}


def _claim_next(mind: Mind) -> Call:
    wait = mind.chance.choice((0, 0, 0, 1))
    return "feature_claim_and_get", {"wait_seconds": wait} if wait else {}


def _claim_once(mind: Mind) -> Call:
    return "feature_claim_and_get", {"request_id": mind.words("claim")}


def _resume(mind: Mind) -> Call | None:
    return ("feature_claim_and_get", {"resume": True}) if mind.named else None


def _on_any(tool: str, words: Words | None = None, **more: Any) -> Draw:
    return lambda mind: (tool, {"feature_id": mind.feature(), **more, **_said(mind, words)})


def _on_mine(tool: str, words: Words | None = None, *, with_token: bool = True, **more: Any) -> Draw:
    def draw(mind: Mind) -> Call | None:
        feature = mind.mine()
        if feature is None:
            return None
        token = {"claim_token": mind.held[feature]} if with_token else {}
        return tool, {"feature_id": feature, **token, **more, **_said(mind, words)}

    return draw


def _pass(mind: Mind, *, with_token: bool) -> Call | None:
    found = _on_mine("feature_mark_passing", with_token=with_token)(mind)
    if found is not None:
        found[1]["evidence"] = {"summary": mind.words("It stood")}
    return found


def _too_late(mind: Mind) -> Call | None:
    if not mind.ended:
        return None
    feature, token = mind.chance.choice(mind.ended)
    tool = mind.chance.choice(
        ("feature_mark_passing", "feature_mark_failing", "feature_skip", "feature_heartbeat")
    )
    reason = _said(mind, WHY) if tool in ("feature_mark_failing", "feature_skip") else {}
    return tool, {"feature_id": feature, "claim_token": token, **reason}


def _create(mind: Mind) -> Call:
    needs = [mind.feature()] if mind.chance.random() < 0.5 else []
    once = {"request_id": mind.words("create")} if mind.chance.random() < 0.7 else {}
    new = _new(mind.words("One more")) | some_files(mind.chance)
    return "feature_create", {**new, "dependencies": needs, **once}


def _create_bulk(mind: Mind) -> Call:
    name = mind.words("One of many")
    chain = [
        _new(f"{name} {index}") | {"depends_on_indices": [index - 1] if index else []} for index in range(5)
    ]
    return "feature_create_bulk", {"features": chain, "request_id": mind.words("bulk")}


def _new(name: str) -> Arguments:
    return {"category": "storm", "name": name, "description": "Made in the storm.", "steps": ["Look."]}


def some_files(chance: Random) -> Arguments:
    """Which files a feature changes; most say nothing of it, and some of the others meet."""
    return {"paths": [chance.choice(FILES)]} if chance.random() < FILED else {}


def _edge(tool: str) -> Draw:
    return lambda mind: (tool, {"feature_id": mind.feature(), "dependency_id": mind.feature()})


def _summary(mind: Mind) -> Call:
    if mind.chance.random() < 0.5:
        return "feature_get_summary", {"feature_id": mind.feature()}
    return "feature_get_summary", {"feature_ids": sorted({mind.feature() for _ in range(5)})}


def _on_question(tool: str, **more: Any) -> Draw:
    def draw(mind: Mind) -> Call | None:
        return (tool, {"question_id": mind.chance.choice(mind.asked), **more}) if mind.asked else None

    return draw


CALLS: tuple[tuple[int, Draw], ...] = (
    (30, _claim_next),
    (4, _claim_once),
    (4, _resume),
    (6, _on_any("feature_claim_and_get")),
    (4, _on_any("feature_mark_in_progress")),
    (22, partial(_pass, with_token=True)),
    (5, partial(_pass, with_token=False)),
    (6, _on_mine("feature_mark_failing", WHY)),
    (3, _on_mine("feature_skip", WHY)),
    (3, _on_mine("feature_clear_in_progress")),
    (3, _on_mine("feature_request_human_input", {"prompt": "Which"}, fields=FORM)),
    (5, _on_mine("feature_heartbeat", {"note": "Still at it"})),
    (8, _too_late),
    (2, _on_any("feature_answer_human_input", answers={"colour": "blue"})),
    (1, _on_any("feature_answer_human_input", cancel=True)),
    (2, lambda _: ("ask_user", {"questions": QUESTION})),
    (2, _on_question("ask_user")),
    (1, _on_question("feature_answer_human_input", answers={"Way": "Left"})),
    (1, _on_question("feature_answer_human_input", cancel=True)),
    (4, _on_any("feature_mark_failing", WHY)),
    (2, _on_any("feature_mark_passing")),
    (1, _on_any("feature_skip", WHY)),
    (3, _on_any("feature_add_note", {"text": "A note in the storm"})),
    (3, _on_any("feature_update", retry=True)),
    (1, _on_any("feature_update", archived=True)),
    (2, _on_any("feature_update", archived=False)),
    (2, _on_any("feature_update", priority=3)),
    (3, _create),
    (1, _create_bulk),
    (2, _edge("feature_add_dependency")),
    (3, _edge("feature_remove_dependency")),
    (1, lambda mind: ("feature_set_dependencies", {"feature_id": mind.feature(), "dependency_ids": []})),
    (1, lambda _: ("feature_get_for_regression", {"limit": 2})),
    (3, _on_any("feature_get_by_id")),
    (2, _summary),
    (1, _on_any("feature_get_history")),
    (1, lambda _: ("feature_get_stats", {})),
    (1, lambda _: ("feature_get_ready", {})),
    (1, lambda _: ("feature_get_blocked", {})),
    (1, lambda _: ("feature_search", {"text": "storm", "limit": 5})),
    (1, lambda _: ("feature_get_graph", {"limit": 20})),
)
"""How often each call is made, and how it is drawn."""


def draw(mind: Mind) -> Call:
    """The next call; one that was never answered is made again, word for word."""
    if mind.unanswered and mind.chance.random() < ASKED_AGAIN:
        again = next(
            (one for one in mind.unanswered if mind.named or one[0] != "feature_claim_and_get"), None
        )
        if again is not None:
            mind.unanswered.remove(again)
            return again
    weights = [weight for weight, _ in CALLS]
    while True:
        _, chosen = mind.chance.choices(CALLS, weights)[0]
        call = chosen(mind)
        if call is not None:
            return call
