"""The times when each feature may have been passing, and when each dependency may have existed.

A call writes a fact ("feature 1 is passing", "feature 2 depends on feature 1") at an unknown moment between its start
and its end. The fact may be true at a moment if a call that made it true had begun before, and no call that made it
false certainly lies in between.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import (
    CREATES,
    DEPENDS,
    TRANSITIONS,
    Interpretation,
    claimed_feature,
    new_ids,
    reads_in,
    reported_by,
)
from dibs_proof.history.planned import REVIEWS
from dibs_schema.status import SATISFIED, Kind

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Write:
    """A call that made or reported the fact; `ended` is infinite if it may never have taken effect."""

    begun: float
    ended: float
    value: bool


@dataclass(slots=True)
class Fact:
    """A fact that is true or false, and every call that changed or reported it."""

    initial: bool
    writes: list[Write] = field(default_factory=list)
    _known: dict[bool, list[Span]] = field(default_factory=dict)

    def write(self, begun: float, ended: float, *, value: bool) -> None:
        """Add a call."""
        self.writes.append(Write(begun, ended, value))

    def possibly(self, *, value: bool) -> list[Span]:
        """Return the spans in which the fact may have had this value, in order."""
        if value not in self._known:
            self._known[value] = union(self._spans(value))
        return self._known[value]

    def _spans(self, value: bool) -> list[Span]:
        against = sorted((one for one in self.writes if one.value is not value), key=lambda one: one.begun)
        # ends[place] is the earliest end of the writes from that place on.
        ends = [math.inf] * (len(against) + 1)
        for place in range(len(against) - 1, -1, -1):
            ends[place] = min(ends[place + 1], against[place].ended)
        starts = [(one.begun, one.ended) for one in self.writes if one.value is value]
        if self.initial is value:
            starts.append((-math.inf, -math.inf))
        spans, place = [], 0
        for begun, ended in sorted(starts, key=lambda one: one[1]):
            while place < len(against) and against[place].begun <= ended:
                place += 1
            spans.append((begun, max(begun, ends[place])))
        return spans


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the union of the spans, as spans that do not overlap."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def intersection(some: list[Span], others: list[Span]) -> list[Span]:
    """Return the moments that are in both lists."""
    found, here, there = [], 0, 0
    while here < len(some) and there < len(others):
        low, high = max(some[here][0], others[there][0]), min(some[here][1], others[there][1])
        if low <= high:
            found.append((low, high))
        if some[here][1] < others[there][1]:
            here += 1
        else:
            there += 1
    return found


def asks_or_waits(call: Call) -> bool:
    """Return whether a call asks the user, or lets a feature wait for an open question."""
    return (
        call.tool == "ask_user" if "question_id" not in call.arguments else call.tool == "feature_request_human_input"
    )


def closes_questions(call: Call) -> bool:
    """Return whether a call may close a question of `ask_user`, or reports whether it is closed."""
    if call.tool == "ask_user":
        return not call.lost or bool(call.arguments.get("cancel"))
    return call.tool == "feature_answer_human_input"


def question(number: int) -> int:
    """Return the number that stands for a question of `ask_user` among the dependencies of features."""
    return -number


class Graph:
    """The facts of a history between features: whether each feature is satisfied, and whether each dependency exists."""

    def __init__(self, history: History, interpretation: Interpretation) -> None:
        self.satisfied: dict[int, Fact] = {}
        self.edges: dict[int, dict[int, Fact]] = defaultdict(dict)
        self._history = history
        self._unnumbered: set[int] = set()
        for number, start in history.start.items():
            self.satisfied[number] = Fact(start.state.status in SATISFIED)
            self.edges[number] = {need: Fact(initial=True) for need in start.needs}
        for call in history.calls:
            begun = min(one.begun for one in interpretation.repeats(call))
            if call.tool in CREATES and call.answer is not None and not call.refused:
                self._create(call, begun)
        effective = [call for call in history.calls if not call.refused or call.lost]
        for call in effective:
            if asks_or_waits(call):
                self._ask(call)
        for call in effective:
            self._add(call)

    def met(self, feature: int, within: Span) -> list[Span]:
        """Return the parts of a span in which every dependency of the feature may have been met."""
        found = [within]
        for need in self.edges[feature]:
            found = intersection(found, self.free_of(feature, need))
        return found

    def met_by(self, feature: int, need: int, within: Span) -> list[Span]:
        """Return the parts of a span in which the dependency `need` may have been met."""
        return intersection([within], self.free_of(feature, need))

    def free_of(self, feature: int, need: int) -> list[Span]:
        """Return the spans in which the dependency `need` may have been satisfied or absent."""
        absent = self.edges[feature][need].possibly(value=False)
        return union([*self._satisfied(need).possibly(value=True), *absent])

    def may_wait(self, feature: int, needs: Collection[int], within: Span) -> list[Span]:
        """Return the parts of a span in which all of `needs`, or any dependency if `needs` is empty, may have been unmet."""
        if not needs and feature not in self._unnumbered:
            return union(part for need in self.edges[feature] for part in self.may_wait(feature, [need], within))
        found = [within]
        for need in needs:
            there = self.edges[feature][need].possibly(value=True) if need in self.edges[feature] else []
            if need < 0 and feature in self._unnumbered:
                there = [within]
            found = intersection(intersection(found, there), self._satisfied(need).possibly(value=False))
        return found

    def may_be_complete(self, features: Iterable[int], within: Span) -> list[Span]:
        """Return the parts of a span in which all of `features` may have been passing or archived."""
        found = [within]
        for feature in features:
            found = intersection(found, self._satisfied(feature).possibly(value=True))
        return found

    def _satisfied(self, feature: int) -> Fact:
        return self.satisfied.setdefault(feature, Fact(initial=False))

    def _edge(self, feature: int, need: int) -> Fact:
        return self.edges[feature].setdefault(need, Fact(initial=False))

    def _create(self, call: Call, begun: float) -> None:
        assert call.answer is not None
        given = call.arguments.get("features", [call.arguments])
        given = json.loads(given) if isinstance(given, str) else given
        ids, new = call.answer.get("ids", []), new_ids(call)
        for number, one in zip(ids, given, strict=True):
            self._satisfied(number)
            if number not in new:
                continue  # it keeps its dependencies
            for need in [*one.get("dependencies", []), *(ids[at] for at in one.get("depends_on_indices", []))]:
                # No client could claim the feature before its creation, so the dependency may count from the beginning.
                self.edges[number].setdefault(need, Fact(initial=True)).write(begun, call.until, value=True)

    def _ask(self, call: Call) -> None:
        """Add that features wait for a question, as dependencies on it. Without an answer its number is unknown."""
        number, about = call.arguments.get("question_id"), call.arguments.get("feature_id")
        waiting = call.arguments.get("feature_ids", []) if about is None else [about]
        if number is None and call.answer is not None:
            number = call.answer.get("question_id")
        if number is None:
            self._unnumbered |= {*waiting}
            return
        for feature in waiting:
            self._edge(feature, question(number)).write(call.begun, call.until, value=True)

    def _close(self, call: Call) -> None:
        """Add that a call has closed a question, or reports it as closed.

        A call without an answer, about a feature, may have closed any question that the feature waits for.
        """
        answer, asked = call.answer or {}, call.arguments.get("question_id")
        numbers = [question(one) for one in (answer.get("question_id", asked),) if one is not None]
        if call.lost and asked is None:
            numbers = [need for need in self.edges[call.arguments["feature_id"]] if need < 0]
        for number in numbers if answer.get("state") != "open" else []:
            self._satisfied(number).write(call.begun, call.until, value=True)

    def _add(self, call: Call) -> None:
        if closes_questions(call):
            self._close(call)
        feature = claimed_feature(call) or call.arguments.get("feature_id")
        if call.tool in DEPENDS and feature is not None:
            self._depend(call, int(feature))
        elif feature is not None and (value := satisfies(call)) is not None:
            self._satisfied(feature).write(call.begun, call.until, value=value)
        if call.answer is not None and "request_id" not in call.arguments:
            for number, reported in reads_in(call.answer, call.tool):
                self._satisfied(number).write(call.begun, call.until, value=reported["status"] in SATISFIED)

    def _depend(self, call: Call, feature: int) -> None:
        wanted = call.arguments.get("dependency_ids")
        if wanted is None:
            added = call.tool == "feature_add_dependency"
            self._edge(feature, call.arguments["dependency_id"]).write(call.begun, call.until, value=added)
            return
        features = {need for need in self.edges[feature] if need > 0}
        for need in {*wanted, *features, *self._ever_needed(feature)}:
            self._edge(feature, need).write(call.begun, call.until, value=need in wanted)

    def _ever_needed(self, feature: int) -> set[int]:
        calls = [one for one in self._history.calls if one.arguments.get("feature_id") == feature]
        added = {one.arguments.get("dependency_id") for one in calls if one.tool in DEPENDS}
        wanted = {need for one in calls for need in one.arguments.get("dependency_ids", ())}
        return {need for need in added | wanted if need is not None}


def satisfies(call: Call) -> bool | None:
    """Return whether the feature was satisfied when the call took effect, or None if the answer does not say.

    A call that may only repeat an earlier call says nothing. A pass is the exception: it still holds when it is repeated.
    """
    kind = TRANSITIONS.get(call.tool)
    if call.lost:
        if call.tool == "feature_update":
            return call.arguments.get("archived")
        if call.tool in REVIEWS:
            return False
        return {Kind.PASS: True, Kind.FAIL: False}.get(kind) if kind is not None else None
    reported = reported_by(call) or {}
    status = reported.get("status")
    if status is None:
        return None
    if kind is not None and kind is not Kind.HEARTBEAT:
        is_regression = kind is Kind.FAIL and reported["failures"] == 0
        return True if kind is Kind.PASS else False if is_regression else None
    return status in SATISFIED
