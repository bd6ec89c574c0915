"""Which features may have been passing when, and what may have waited for what."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable

from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CREATES, DEPENDS, MOVES, Reading, claimed_by, looks, told_of
from dibs_proof.history.intervals import Fact, Span, both, union
from dibs_schema.status import SATISFIED, Kind


class Graph:
    """The facts of a history that span features: each feature's being satisfied, and each dependency."""

    def __init__(self, history: History, reading: Reading) -> None:
        self.satisfied: dict[int, Fact] = {}
        self.edges: dict[int, dict[int, Fact]] = defaultdict(dict)
        self._history = history
        for number, start in history.start.items():
            self.satisfied[number] = Fact(start.one.status in SATISFIED)
            self.edges[number] = {need: Fact(initial=True) for need in start.needs}
        for call in history.calls:
            begun = min(one.begun for one in reading.repeats(call))
            if call.tool in CREATES and call.answer is not None and not call.refused:
                self._create(call, begun)
        for call in history.calls:
            if not call.refused or call.lost:
                self._take(call)

    # -- asking ---------------------------------------------------------------------------------------

    def met(self, feature: int, within: Span) -> list[Span]:
        """When, within a span, nothing that the feature depends on may have held it back."""
        found = [within]
        for need in self.edges[feature]:
            found = both(found, self.free_of(feature, need))
        return found

    def met_by(self, feature: int, need: int, within: Span) -> list[Span]:
        """When, within a span, that dependency may not have held the feature back."""
        return both([within], self.free_of(feature, need))

    def free_of(self, feature: int, need: int) -> list[Span]:
        """When that dependency may have been satisfied, or not there."""
        absent = self.edges[feature][need].possibly(value=False)
        return union([*self._satisfied(need).possibly(value=True), *absent])

    def may_wait(self, feature: int, needs: Iterable[int], within: Span) -> list[Span]:
        """When, within a span, all of these may have held it back."""
        found = [within]
        for need in needs:
            there = self.edges[feature][need].possibly(value=True) if need in self.edges[feature] else []
            found = both(both(found, there), self._satisfied(need).possibly(value=False))
        return found

    def may_be_complete(self, features: Iterable[int], within: Span) -> list[Span]:
        """When, within a span, all of these may have been passing or archived."""
        found = [within]
        for feature in features:
            found = both(found, self._satisfied(feature).possibly(value=True))
        return found

    # -- reading --------------------------------------------------------------------------------------

    def _satisfied(self, feature: int) -> Fact:
        return self.satisfied.setdefault(feature, Fact(initial=False))

    def _edge(self, feature: int, need: int) -> Fact:
        return self.edges[feature].setdefault(need, Fact(initial=False))

    def _create(self, call: Call, begun: float) -> None:
        assert call.answer is not None
        given = call.arguments.get("features", [call.arguments])
        given = json.loads(given) if isinstance(given, str) else given
        ids = call.answer.get("ids", [])
        for number, one in zip(ids, given, strict=True):
            self._satisfied(number)
            for need in [
                *one.get("dependencies", []),
                *(ids[at] for at in one.get("depends_on_indices", [])),
            ]:
                # Before it was created nobody could claim it, so that it may count as there from the beginning.
                self.edges[number].setdefault(need, Fact(initial=True)).write(begun, call.until, value=True)

    def _take(self, call: Call) -> None:
        feature = claimed_by(call) or call.arguments.get("feature_id")
        if call.tool in DEPENDS and feature is not None:
            self._depend(call, int(feature))
        elif feature is not None and (value := satisfies(call)) is not None:
            self._satisfied(feature).write(call.begun, call.until, value=value)
        if call.answer is not None and "request_id" not in call.arguments:
            for number, told in looks(call.answer, call.tool):
                self._satisfied(number).write(call.begun, call.until, value=told["status"] in SATISFIED)

    def _depend(self, call: Call, feature: int) -> None:
        wanted = call.arguments.get("dependency_ids")
        if wanted is None:
            added = call.tool == "feature_add_dependency"
            self._edge(feature, call.arguments["dependency_id"]).write(call.begun, call.until, value=added)
            return
        for need in {*wanted, *self.edges[feature], *self._ever_needed(feature)}:
            self._edge(feature, need).write(call.begun, call.until, value=need in wanted)

    def _ever_needed(self, feature: int) -> set[int]:
        calls = [one for one in self._history.calls if one.arguments.get("feature_id") == feature]
        added = {one.arguments.get("dependency_id") for one in calls if one.tool in DEPENDS}
        wanted = {need for one in calls for need in one.arguments.get("dependency_ids", ())}
        return {need for need in added | wanted if need is not None}


def satisfies(call: Call) -> bool | None:
    """Whether the call's feature was satisfied at the moment of the call; None where it does not say.

    What may only repeat an earlier acknowledgement says nothing, but for a pass, which then still holds.
    """
    kind = MOVES.get(call.tool)
    if call.lost:
        if call.tool == "feature_update":
            return call.arguments.get("archived")
        return {Kind.PASS: True, Kind.FAIL: False}.get(kind) if kind is not None else None
    told = told_of(call) or {}
    status = told.get("status")
    if status is None:
        return None
    if kind is not None and kind is not Kind.HEARTBEAT:
        is_regression = kind is Kind.FAIL and told["failures"] == 0
        return True if kind is Kind.PASS else False if is_regression else None
    return status in SATISFIED
