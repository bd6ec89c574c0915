"""A random workload: calls of every tool, with arguments that are mostly valid and often outdated.

An agent's `Memory` learns from the answers that it gets, and `draw` makes the next call from a list of weighted calls:
`EVERY_TOOL` for storms, `CONTENTION` for clients that compete for few features.
"""

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
WITH_FILES = 0.3
"""The share of features with paths."""
REMEMBERED = 20
SHARED_BATCHES = 12
"""The number of batches that every agent may send."""
REPEATED = 0.5
"""The probability that the next call repeats a call whose answer was lost."""


@dataclass(slots=True)
class Memory:
    """The knowledge of one agent: the tokens of its live and ended claims, and the number of features.

    `unanswered` are calls with a request_id that may have taken effect in a server that has ended. `questions` are the
    numbers of known questions to the user. `passing` are features that have passed, and `reported` those that it has
    reported as broken. `batches` are the batches that it has sent. `named` says whether its server has an agent name.
    """

    chance: Random
    features: int
    name: str = "nobody"
    named: bool = False
    claims: dict[int, str] = field(default_factory=dict)
    ended: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    unanswered: list[Call] = field(default_factory=list)
    questions: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    passing: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    reported: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    batches: deque[Arguments] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    texts: int = 0

    def text(self, what: str) -> str:
        """Return a string that no other call has sent, so that the event is unique."""
        self.texts += 1
        return f"{what} ({self.name}, {self.texts})"

    def feature(self) -> int:
        """Return a random feature."""
        return self.chance.randint(1, self.features)

    def claimed(self) -> int | None:
        """Return a random feature from the agent's own claims, or None."""
        return self.chance.choice(list(self.claims)) if self.claims else None

    def learn(self, answer: Arguments, tool: str | None = None) -> None:
        """Remember the claims, questions, reports and new features in the answer of a tool."""
        if tool == "feature_mark_failing" and "failures" not in answer:
            self.reported.append(answer["id"])
        elif tool == "feature_get_for_regression":
            self.passing.extend(feature["id"] for feature in answer.get("features", ()))
        if "question_id" in answer and "state" in answer:
            self.questions.append(answer["question_id"])
        elif answer.get("state") == "claimed":
            self.claims[answer["feature"]["id"]] = answer["claim"]["token"]
        elif "token" in answer:
            self.claims[answer["id"]] = answer["token"]
        elif answer.get("status") not in (None, "in_progress"):
            self.end_claim(answer.get("id"))
        self.features = max([self.features, *answer.get("ids", [])])

    def end_claim(self, feature: int | None) -> None:
        """Move a claim to the ended ones, whose tokens may still be sent."""
        if feature is not None and feature in self.claims:
            self.ended.append((feature, self.claims.pop(feature)))

    def adopt(self, feature: int, token: str) -> None:
        """Forget all claims but the one that the next server is started for."""
        self.end_all_claims()
        self.claims = {feature: token}

    def miss_answer(self, call: Call) -> None:
        """Remember a call without an answer. Without an agent name, another connection cannot repeat a claim."""
        tool, arguments = call
        if "request_id" in arguments and (self.named or tool != "feature_claim_and_get"):
            self.unanswered.append(call)

    def end_all_claims(self) -> None:
        """Move all claims to the ended ones, because the server has ended."""
        for feature in tuple(self.claims):
            self.end_claim(feature)


Draw = Callable[[Memory], Call | None]
"""Makes a call, or returns None if the agent cannot make it now."""
Calls = tuple[tuple[int, Draw], ...]
"""Calls, each with its weight."""
Texts = dict[str, str]
"""The arguments that get a unique string in each call, and the beginning of each string."""
WHY: Texts = {"reason": "The workload says so"}


def _texts(memory: Memory, texts: Texts | None) -> Arguments:
    return {name: memory.text(what) for name, what in (texts or {}).items()}


def _claim_next(memory: Memory) -> Call:
    wait = memory.chance.choice((0, 0, 0, 1))
    return "feature_claim_and_get", {"wait_seconds": wait} if wait else {}


def _claim_once(memory: Memory) -> Call:
    return "feature_claim_and_get", {"request_id": memory.text("claim")}


def _resume(memory: Memory) -> Call | None:
    return ("feature_claim_and_get", {"resume": True}) if memory.named else None


def _on_any(tool: str, texts: Texts | None = None, **more: Any) -> Draw:
    return lambda memory: (tool, {"feature_id": memory.feature(), **more, **_texts(memory, texts)})


def _on_claimed(tool: str, texts: Texts | None = None, *, with_token: bool = True, **more: Any) -> Draw:
    def draw(memory: Memory) -> Call | None:
        feature = memory.claimed()
        if feature is None:
            return None
        token = {"claim_token": memory.claims[feature]} if with_token else {}
        return tool, {"feature_id": feature, **token, **more, **_texts(memory, texts)}

    return draw


def _pass(memory: Memory, *, with_token: bool) -> Call | None:
    found = _on_claimed("feature_mark_passing", with_token=with_token)(memory)
    if found is not None:
        found[1]["evidence"] = {"summary": memory.text("All tests pass")}
    return found


def _lift_back_off(memory: Memory) -> Call | None:
    """Retry a feature whose claim has just ended, perhaps by a failure."""
    return ("feature_update", {"feature_id": memory.ended[-1][0], "retry": True}) if memory.ended else None


def _too_late(memory: Memory) -> Call | None:
    if not memory.ended:
        return None
    feature, token = memory.chance.choice(memory.ended)
    tool = memory.chance.choice(("feature_mark_passing", "feature_mark_failing", "feature_skip", "feature_heartbeat"))
    reason = _texts(memory, WHY) if tool in ("feature_mark_failing", "feature_skip") else {}
    return tool, {"feature_id": feature, "claim_token": token, **reason}


def _create(memory: Memory) -> Call:
    needs = [memory.feature()] if memory.chance.random() < 0.5 else []
    once = {"request_id": memory.text("create")} if memory.chance.random() < 0.7 else {}
    new = _new(memory.text("One more")) | some_files(memory.chance)
    return "feature_create", {**new, "dependencies": needs, **once}


def _create_bulk(memory: Memory) -> Call:
    batch = {"features": _chain(memory.text("One of many"), 5), "request_id": memory.text("bulk")}
    memory.batches.append(batch)
    return "feature_create_bulk", batch


def _create_again(memory: Memory) -> Call | None:
    """Send a batch again, with its request_id or without."""
    if not memory.batches:
        return None
    batch = memory.chance.choice(memory.batches)
    return "feature_create_bulk", batch if memory.chance.random() < 0.5 else {"features": batch["features"]}


def _create_shared(memory: Memory) -> Call:
    """Send a batch that other agents send too, perhaps at the same time."""
    return "feature_create_bulk", {"features": _chain(f"Of batch {memory.chance.randint(1, SHARED_BATCHES)}", 3)}


def _chain(name: str, length: int) -> list[Arguments]:
    return [_new(f"{name} {index}") | {"depends_on_indices": [index - 1] if index else []} for index in range(length)]


def _new(name: str) -> Arguments:
    return {"category": "storm", "name": name, "description": "Made by a workload.", "steps": ["Look."]}


def some_files(chance: Random) -> Arguments:
    """Return the paths of a new feature: most have none, and some of the others overlap."""
    return {"paths": [chance.choice(FILES)]} if chance.random() < WITH_FILES else {}


def _edge(tool: str) -> Draw:
    return lambda memory: (tool, {"feature_id": memory.feature(), "dependency_id": memory.feature()})


def _move(memory: Memory) -> Call:
    where: Arguments = {"before": memory.feature()} if memory.chance.random() < 0.7 else {"to": "front"}
    return "feature_move", {"feature_id": memory.feature(), **where}


def _summary(memory: Memory) -> Call:
    if memory.chance.random() < 0.5:
        return "feature_get_summary", {"feature_id": memory.feature()}
    return "feature_get_summary", {"feature_ids": sorted({memory.feature() for _ in range(5)})}


def _on_question(tool: str, **more: Any) -> Draw:
    def draw(memory: Memory) -> Call | None:
        return (tool, {"question_id": memory.chance.choice(memory.questions), **more}) if memory.questions else None

    return draw


def _ask_about(memory: Memory) -> Call:
    waiting = sorted({memory.feature() for _ in range(memory.chance.randint(1, 2))})
    return "ask_user", {"questions": QUESTION, "feature_ids": waiting}


def _wait_for_question(memory: Memory) -> Call | None:
    call = _on_claimed("feature_request_human_input")(memory)
    if call is None or not memory.questions:
        return None
    return call[0], {**call[1], "question_id": memory.chance.choice(memory.questions)}


def _report(memory: Memory, **more: Any) -> Call | None:
    if not memory.passing:
        return None
    return "feature_mark_failing", {"feature_id": memory.chance.choice(memory.passing), **more, **_texts(memory, WHY)}


def _claim_reported(memory: Memory) -> Call | None:
    return ("feature_claim_and_get", {"feature_id": memory.chance.choice(memory.reported)}) if memory.reported else None


EVERY_TOOL: Calls = (
    (30, _claim_next),
    (4, _claim_once),
    (4, _resume),
    (6, _on_any("feature_claim_and_get")),
    (4, _on_any("feature_mark_in_progress")),
    (3, _on_claimed("feature_claim_and_get", with_token=False)),
    (3, _on_claimed("feature_mark_in_progress", with_token=False)),
    (22, partial(_pass, with_token=True)),
    (5, partial(_pass, with_token=False)),
    (6, _on_claimed("feature_mark_failing", WHY)),
    (3, _on_claimed("feature_skip", WHY)),
    (3, _on_claimed("feature_clear_in_progress")),
    (3, _on_claimed("feature_request_human_input", {"prompt": "Which"}, fields=FORM)),
    (5, _on_claimed("feature_heartbeat", {"note": "Still at it"})),
    (8, _too_late),
    (2, _on_any("feature_answer_human_input", answers={"colour": "blue"})),
    (1, _on_any("feature_answer_human_input", cancel=True)),
    (2, lambda _: ("ask_user", {"questions": QUESTION})),
    (1, _ask_about),
    (2, _wait_for_question),
    (2, _on_question("ask_user")),
    (1, _on_question("ask_user", cancel=True)),
    (1, _on_any("feature_answer_human_input", answers={"Way": "Left"})),
    (3, _on_question("feature_answer_human_input", answers={"Way": "Left"})),
    (1, _on_question("feature_answer_human_input", cancel=True)),
    (4, _on_any("feature_mark_failing", WHY)),
    (2, _on_any("feature_mark_failing", WHY, keep=True)),
    (2, _on_any("feature_mark_passing")),
    (1, _on_any("feature_skip", WHY)),
    (3, _on_any("feature_add_note", {"text": "A note in the storm"})),
    (1, _on_any("feature_approve")),
    (2, _on_any("feature_return", {"feedback": "Not yet"})),
    (1, _on_any("feature_reject", WHY)),
    (2, _on_any("feature_update", retry=True)),
    (3, _lift_back_off),
    (1, _on_any("feature_update", archived=True)),
    (2, _on_any("feature_update", archived=False)),
    (2, _on_any("feature_update", priority=3)),
    (3, _move),
    (1, _on_any("feature_move", to="end")),
    (3, _create),
    (1, _create_bulk),
    (1, _create_again),
    (2, _create_shared),
    (2, _edge("feature_add_dependency")),
    (3, _edge("feature_remove_dependency")),
    (1, lambda memory: ("feature_set_dependencies", {"feature_id": memory.feature(), "dependency_ids": []})),
    (1, lambda _: ("feature_get_for_regression", {"limit": 2})),
    (3, _on_any("feature_get_by_id")),
    (2, _summary),
    (1, _on_any("feature_get_history")),
    (1, lambda _: ("feature_get_stats", {})),
    (1, lambda _: ("feature_get_overview", {})),
    (1, lambda _: ("feature_get_ready", {})),
    (1, lambda _: ("feature_get_blocked", {})),
    (1, lambda _: ("feature_search", {"text": "storm", "limit": 5})),
    (1, lambda _: ("feature_get_graph", {"limit": 20})),
)
"""Every tool in every form, with correct and incorrect calls."""

TESTING: Calls = (
    (10, _report),
    (6, partial(_report, keep=True)),
    (2, _on_any("feature_mark_failing", WHY)),
    (16, _claim_reported),
    (2, _on_any("feature_claim_and_get")),
    (2, _claim_next),
    (14, partial(_pass, with_token=True)),
    (8, partial(_pass, with_token=False)),
    (3, _on_claimed("feature_mark_failing", WHY)),
    (3, _on_claimed("feature_clear_in_progress")),
    (4, _on_claimed("feature_heartbeat", {"note": "Still at it"})),
    (4, _on_any("feature_mark_passing")),
    (8, lambda _: ("feature_get_for_regression", {"limit": 4})),
    (2, _on_any("feature_add_note", {"text": "A tester's note"})),
    (2, _on_any("feature_get_by_id")),
)
"""The calls of a tester: reports, claims of what was reported, and passes."""


def _contended_claim(memory: Memory) -> Call:
    arguments: Arguments = {} if memory.chance.random() < 0.5 else {"feature_id": memory.feature()}
    if memory.chance.random() < 0.2:
        arguments["request_id"] = f"request {memory.chance.randint(1, 40)} of {memory.name}"
    if memory.chance.random() < 0.2:
        agent, resume = memory.chance.choice(["ada", "grace"]), memory.chance.random() < 0.5
        arguments |= {"agent": agent, "resume": resume}
    return "feature_claim_and_get", arguments


def _edge_below(tool: str, argument: str) -> Draw:
    def draw(memory: Memory) -> Call:
        feature = memory.feature()
        lower = max(1, feature - memory.chance.randint(1, 3))
        needs = [lower] if argument == "dependency_ids" else lower
        return tool, {"feature_id": feature, argument: needs}

    return draw


def _with_any_token(draw: Draw) -> Draw:
    """Sometimes remove the token of a call, or replace it by an ended one."""

    def changed(memory: Memory) -> Call | None:
        call = draw(memory)
        if call is None:
            return None
        tool, arguments = call
        if memory.ended and memory.chance.random() < 0.2:
            arguments["feature_id"], arguments["claim_token"] = memory.chance.choice(memory.ended)
        if memory.chance.random() < 0.2:
            del arguments["claim_token"]
        return tool, arguments

    return changed


CONTENTION: Calls = (
    (96, _contended_claim),
    *(
        (weight, _with_any_token(draw))
        for weight, draw in (
            (53, _on_claimed("feature_mark_passing")),
            (13, _on_claimed("feature_mark_failing", WHY)),
            (13, _on_claimed("feature_skip", WHY)),
            (13, _on_claimed("feature_clear_in_progress")),
            (13, _on_claimed("feature_heartbeat")),
            (13, _on_claimed("feature_request_human_input", {"prompt": "Which"}, fields=FORM)),
        )
    ),
    (6, _on_any("feature_mark_failing", WHY)),
    (6, _on_any("feature_mark_failing", WHY, keep=True)),
    (3, _on_any("feature_mark_passing")),
    (3, _on_any("feature_skip", WHY)),
    (3, _on_any("feature_clear_in_progress", force=True)),
    (3, _on_any("feature_answer_human_input", answers={"colour": "blue"})),
    (3, _on_any("feature_answer_human_input", cancel=True)),
    (3, _on_any("feature_update", archived=True)),
    (6, _on_any("feature_update", archived=False)),
    (3, _move),
    (3, _on_any("feature_return", {"feedback": "Not yet"})),
    (3, _on_any("feature_reject", WHY)),
    (6, _on_any("feature_update", retry=True)),
    (3, _edge_below("feature_add_dependency", "dependency_id")),
    (3, _edge_below("feature_remove_dependency", "dependency_id")),
    (3, _edge_below("feature_set_dependencies", "dependency_ids")),
    (3, lambda memory: ("feature_create", _new(memory.text("Made once")) | {"dependencies": [memory.feature()]})),
    (8, _on_any("feature_get_by_id")),
    (8, lambda _: ("feature_get_ready", {})),
    (8, lambda _: ("feature_search", {"limit": 50})),
)
"""Claims and their ends, by few agents on few features, with ended tokens and repeated keys."""


def draw(memory: Memory, calls: Calls = EVERY_TOOL) -> Call:
    """Return the next call: a random call, or the repetition of a call without an answer."""
    if memory.unanswered and memory.chance.random() < REPEATED:
        again = next((one for one in memory.unanswered if memory.named or one[0] != "feature_claim_and_get"), None)
        if again is not None:
            memory.unanswered.remove(again)
            return again
    weights = [weight for weight, _ in calls]
    while True:
        _, chosen = memory.chance.choices(calls, weights)[0]
        call = chosen(memory)
        if call is not None:
            return call
