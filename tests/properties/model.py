"""A small model of a backlog in plain Python: features of `dibs_proof.history.model`, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from dibs_proof.history import model
from dibs_proof.history.model import A, D, FeatureState, H, I, Limits, P, Refused, S, Transition
from dibs_schema.file_areas import areas_of
from dibs_schema.status import SATISFIED, ConnectionEnd, Kind, Status

MOST_FAILURES, MOST_SAME_FAILURES, MOST_ATTEMPTS, MOST_SKIPS = 3, 2, 4, 2
WITHOUT_A_CALL = (*ConnectionEnd, Kind.EXPIRE)
"""How a claim ends without a call of its holder."""
LIMITS = Limits(MOST_FAILURES, MOST_ATTEMPTS, MOST_SKIPS, MOST_SAME_FAILURES)


class Model:
    """The features with their dependencies, paths and places in the queue, and the agents that passed and confirmed each.

    `latest` is the feature that each holder claimed last. `questions` are the open ones, with the features that wait for
    each, and `asked` is the number of all questions. `events` counts the events that should be recorded.
    """

    def __init__(self, order: str, verifier: str, rechecks: str) -> None:
        self.order = order
        self.rules = {"verifier": verifier, "rechecks": rechecks}
        self.features: dict[int, FeatureState] = {}
        self.needs: dict[int, set[int]] = {}
        self.paths: dict[int, list[str]] = {}
        self.priority: dict[int, int] = {}
        self.place: dict[int, Fraction] = {}
        self.passed_by: dict[int, str | None] = {}
        self.confirmed_by: dict[int, str | None] = {}
        self.unconfirmed: set[int] = set()
        self.to_recheck: set[int] = set()
        self.latest: dict[str, int] = {}
        self.questions: dict[int, set[int]] = {}
        self.asked = 0
        self.events = 0

    # -- reading --------------------------------------------------------------------------------------

    def __getitem__(self, feature: int) -> FeatureState:
        return self.features[feature]

    def unmet(self, feature: int) -> int:
        """Return how many dependencies of a feature are unmet, and questions open that it waits for."""
        waits_for = sum(feature in waiting for waiting in self.questions.values())
        return sum(self[need].status not in SATISFIED for need in self.needs[feature]) + waits_for

    def height(self, feature: int) -> int:
        """Return the length of the longest chain of features that waits for one."""
        waiting = [other for other, needs in self.needs.items() if feature in needs]
        return max((self.height(other) + 1 for other in waiting), default=0)

    def ready(self) -> list[int]:
        """Return the ready features, in queue order."""
        free = [
            feature
            for feature, one in self.features.items()
            if one.status is P and not one.backs_off and not self.unmet(feature) and not self.is_held_back(feature)
        ]
        tall = {one: -self.height(one) if self.order == "critical_path" else 0 for one in free}
        return sorted(free, key=lambda one: (self[one].skips, tall[one], self.priority[one], self.place[one], one))

    def any(self, status: Status) -> bool:
        """Return whether a feature has the given status."""
        return any(one.status is status for one in self.features.values())

    def held_by(self, holder: str) -> list[int]:
        """Return the features that a holder has claimed."""
        return [feature for feature, one in self.features.items() if one.holder == holder]

    def is_held_back(self, feature: int) -> bool:
        """Return whether an agent works on another feature that may change the same files."""
        claimed = [other for other, one in self.features.items() if one.status is I]
        own = areas_of(self.paths[feature])
        return any(one.meets(other) for there in claimed for other in areas_of(self.paths[there]) for one in own)

    def reaches(self, start: int, end: int) -> bool:
        """Return whether `start` depends on `end`, over any number of edges."""
        return start == end or any(self.reaches(need, end) for need in self.needs[start])

    def idle_state(self) -> str:
        """Return why there is nothing to claim."""
        there = {one.status for one in self.features.values()}
        if not there & {P, I, H, S}:
            if self.rules["verifier"] == "other" and any(self[one].status is D for one in self.unconfirmed):
                return "waiting_for_confirmation"
            if self.rules["rechecks"] == "required" and any(self[one].status is D for one in self.to_recheck):
                return "waiting_for_recheck"
            return "complete" if D in there else "empty"
        resting = any(
            one.backs_off and one.status is P and not self.unmet(feature) for feature, one in self.features.items()
        )
        reasons = {
            "waiting_for_claims": I in there,
            "waiting_for_back_off": resting,
            "waiting_for_human": H in there
            or any(self[one].status is P for waiting in self.questions.values() for one in waiting),
            "stuck": S in there,
        }
        return next((state for state, applies in reasons.items() if applies), "waiting_for_dependencies")

    # -- writing ----------------------------------------------------------------------------------------

    def create(self, needs: set[int], paths: Iterable[str]) -> None:
        """Create a feature at the end of the queue."""
        number = len(self.features) + 1
        self.features[number], self.needs[number], self.paths[number] = FeatureState(), needs, list(paths)
        self.passed_by[number] = self.confirmed_by[number] = None
        self.priority[number] = self._last_place()
        self.place[number] = Fraction(number)
        self.events += 1

    def rule(self, name: str, value: str) -> None:
        """Set whether another agent must confirm passes, or whether the project waits for rechecks."""
        self.rules[name] = value
        self.events += 1

    def change_files(self, feature: int, paths: Iterable[str]) -> None:
        """Change the files that a feature changes."""
        self.paths[feature] = list(paths)
        self.events += 1

    def claim(self, holder: str, feature: int | None, token: str | None) -> int | None:
        """Claim `feature`, or the next one, with the real `token`. Return the claimed feature, or None if none is ready."""
        held = self.held_by(holder)
        if feature is None:
            if held:
                raise Refused("already_holding")
            queue = self.ready()
            if not queue:
                return None
            feature = queue[0]
        unmet = self.unmet(feature) > 0
        if feature in held or (held and self[feature].status is P and not unmet):
            raise Refused("already_holding")
        try:
            claimed = model.claim(self[feature], holder, token or "", unmet=unmet)
        except Refused as refused:
            raise self._named(feature, refused) from None
        if self.is_held_back(feature):
            raise Refused("not_ready")
        self._set(feature, claimed)
        self.latest[holder] = feature
        return feature

    def resume(self, holder: str, token: str | None) -> int | None:
        """Resume a holder's claim with a new token."""
        held = self.held_by(holder)
        if not held:
            left = self.latest.get(holder)
            free = left in self.ready() and self[left].last_holder == holder and self[left].ended[1] in WITHOUT_A_CALL
            return self.claim(holder, left if free else None, token)
        self._set(held[0], model.resume(self[held[0]], holder, token or ""))
        self.latest[holder] = held[0]
        return held[0]

    def regain(self, feature: int, token: str | None) -> bool:
        """Continue a claim that its connection's end released. Return whether the claim was regained."""
        holder = self[feature].last_holder or ""
        try:
            state = model.regain(self[feature], token)
        except Refused:
            return False
        if self.is_held_back(feature) or self.held_by(holder):
            return False
        self._set(feature, state)
        self.latest[holder] = feature
        return True

    def disconnect(self, feature: int) -> None:
        """End a claim because its holder's connection has ended within a lease."""
        self._set(feature, model.disconnect(self[feature], LIMITS, ConnectionEnd.DISCONNECT))

    def ask(self, waiting: set[int]) -> int:
        """Ask the user a question for which features wait, and return its number."""
        self.asked += 1
        self.questions[self.asked] = {*waiting}
        self.events += 1 + len(waiting)
        return self.asked

    def wait_for(self, feature: int, token: str | None, question: int) -> None:
        """Let the holder of a feature wait for a question."""
        if token is not None and self[feature].token == token and question not in self.questions:
            raise Refused("not_waiting_for_human")
        unmet = self.unmet(feature) > 0
        made = model.transition(self[feature], Kind.ASK, token, LIMITS, unmet=unmet, by_question=True)
        if made.kind is not None:
            self._set(feature, made.state)
            self.questions[question].add(feature)

    def close(self, question: int) -> None:
        """Answer or withdraw a question."""
        if question not in self.questions:
            raise Refused("not_waiting_for_human")
        self.events += 1 + len(self.questions.pop(question))

    def transition(self, feature: int, token: str | None, kind: Kind, by: str, reason: str) -> bool:
        """Make a transition. Return False if it repeats an earlier one, and so changes nothing."""
        before = self[feature]
        unmet = self.unmet(feature) > 0
        try:
            made: Transition = model.transition(before, kind, token, LIMITS, unmet=unmet, reason=reason)
        except Refused as refused:
            raise self._named(feature, refused) from None
        if made.kind is None:
            return False
        if made.kind is Kind.SKIP:
            self.priority[feature] = self._last_place()
        elif made.kind is Kind.PASS:
            self._set_verifier(feature, before.holder, waits=self.rules["verifier"] == "other")
        elif made.kind is Kind.REGRESS:
            self._set_verifier(feature, None, waits=False)
            self._block_dependents(feature)
        elif made.kind is Kind.VERIFY and self.rules["verifier"] == "other" and by != self.passed_by[feature]:
            self._confirm(feature, by)
        if made.kind in (Kind.REGRESS, Kind.VERIFY):
            self.to_recheck.discard(feature)
        self._set(feature, made.state)
        return True

    def report_and_claim(self, holder: str, feature: int, token: str | None) -> None:
        """Report that a passing feature is broken, and claim it: both, or neither."""
        before = self[feature]
        if before.status is I:
            raise Refused("already_claimed")
        self.features[feature] = model.regress(before)
        try:
            self.claim(holder, feature, token)
        except Refused:
            self.features[feature] = before
            raise
        self._set_verifier(feature, None, waits=False)
        self._block_dependents(feature)
        self.to_recheck.discard(feature)
        self.events += 1

    def approve(self, feature: int, by: str) -> None:
        """Confirm or recheck a pass as a person does."""
        if self[feature].status is not D or feature not in self.unconfirmed | self.to_recheck:
            raise Refused("invalid_input")
        self._confirm(feature, by)
        self.to_recheck.discard(feature)
        self.events += 1

    def undo_pass(self, feature: int, status: Status) -> None:
        """Return or reject a feature as a person does."""
        after = model.undo_pass(self[feature], status)
        self._set_verifier(feature, None, waits=False)
        self._block_dependents(feature)
        self.to_recheck.discard(feature)
        self._set(feature, after)

    def move_before(self, feature: int, before: int) -> None:
        """Move a feature before another one, unless it is there."""
        if feature == before:
            raise Refused("invalid_input")
        place, skips = self.place[before], self[before].skips
        alike = [one for one, priority in self.priority.items() if priority == self.priority[before]]
        previous = max((self.place[one] for one in alike if one != feature and self.place[one] < place), default=None)
        is_near = (
            feature in alike and (previous is None or previous < self.place[feature]) and self.place[feature] < place
        )
        if not is_near or self[feature].skips > skips:
            self.place[feature] = place - 1 if previous is None else (place + previous) / 2
            self.priority[feature] = self.priority[before]
            self._set(feature, replace(self[feature], skips=min(skips, self[feature].skips)))

    def move_to(self, feature: int, end: str) -> None:
        """Move a feature to an end of the queue, unless it is there."""
        others = [priority for one, priority in self.priority.items() if one != feature]
        if end == "front" and (min(others) <= self.priority[feature] or self[feature].skips):
            self.priority[feature] = min(others) - 1
            self._set(feature, replace(self[feature], skips=0))
        elif end == "end" and max(others) >= self.priority[feature]:
            self.priority[feature] = max(others) + 1
            self.events += 1

    def force(self, feature: int) -> None:
        """Release a claim as a planner does."""
        if self[feature].status is I:
            self._set(feature, model.force(self[feature], LIMITS, unmet=self.unmet(feature) > 0))

    def expire(self, feature: int) -> None:
        """Let a lease expire and be reaped."""
        if self[feature].status is I:
            self._set(feature, model.end(self[feature], Kind.EXPIRE, LIMITS))

    def back_off_ends(self, feature: int) -> None:
        """Let the back-off end."""
        self.features[feature] = replace(self[feature], backs_off=False)

    def answer(self, feature: int) -> None:
        """Answer a request, or withdraw it."""
        self._set(feature, model.answer(self[feature]))

    def retry(self, feature: int) -> None:
        """Return a feature that is stuck or in its back-off to the queue."""
        self._set(feature, model.retry(self[feature]))

    def archive(self, feature: int, *, archived: bool) -> None:
        """Archive a feature, or restore it."""
        after = model.archive(self[feature], archived=archived)
        if after is not self[feature]:
            if after.status not in SATISFIED:
                self._block_dependents(feature)
            self._set(feature, after)

    def depend(self, feature: int, needs: set[int]) -> None:
        """Replace the dependencies of a feature."""
        if any(self.reaches(need, feature) for need in needs - self.needs[feature]):
            raise Refused("would_cycle")
        if needs != self.needs[feature]:
            if any(self[need].status not in SATISFIED for need in needs - self.needs[feature]):
                self._await_recheck(feature)
            self.needs[feature] = needs
            self.events += 1

    # -- transitions -------------------------------------------------------------------------------------

    def _named(self, feature: int, refused: Refused) -> Refused:
        """Return a refusal, of which the feature's model knows only that something is unmet, with its right code."""
        is_blocked = any(self[need].status not in SATISFIED for need in self.needs[feature])
        return refused if refused.code != "unmet_dependencies" or is_blocked else Refused("waiting_for_human")

    def _set(self, feature: int, after: FeatureState) -> None:
        self.features[feature] = after
        self.events += 1

    def _set_verifier(self, feature: int, by: str | None, *, waits: bool) -> None:
        self.passed_by[feature], self.confirmed_by[feature] = by, None
        (self.unconfirmed.add if waits else self.unconfirmed.discard)(feature)

    def _confirm(self, feature: int, by: str) -> None:
        if feature in self.unconfirmed:
            self.unconfirmed.discard(feature)
            self.confirmed_by[feature] = by

    def _block_dependents(self, feature: int) -> None:
        """Tell the dependents that are not archived that a feature is no longer satisfied."""
        for other, needs in self.needs.items():
            if feature in needs and self[other].status is not A:
                self.events += 1
                self._await_recheck(other)

    def _await_recheck(self, feature: int) -> None:
        if self[feature].status is D:
            self.to_recheck.add(feature)

    def _last_place(self) -> int:
        return max(self.priority.values(), default=0) + 1
