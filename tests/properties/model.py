"""A small model of a backlog in plain Python: the features of `dibs_proof.history.model`, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dibs_proof.history import model
from dibs_proof.history.model import D, H, I, Limits, Made, No, P, S, Sketch
from dibs_schema.file_areas import areas_of
from dibs_schema.status import SATISFIED, Kind, Status

MOST_FAILURES, MOST_ATTEMPTS, MOST_SKIPS = 2, 4, 2
LIMITS = Limits(MOST_FAILURES, MOST_ATTEMPTS, MOST_SKIPS)


class Model:
    """The features, what each needs and changes, and its place in the queue; who passed and who confirmed it.

    `events` counts what the journal should hold.
    """

    def __init__(self, order: str, verifier: str) -> None:
        self.order = order
        self.verifier = verifier
        self.features: dict[int, Sketch] = {}
        self.needs: dict[int, set[int]] = {}
        self.paths: dict[int, list[str]] = {}
        self.priority: dict[int, int] = {}
        self.passed_by: dict[int, str | None] = {}
        self.confirmed_by: dict[int, str | None] = {}
        self.unconfirmed: set[int] = set()
        self.events = 0

    # -- looking --------------------------------------------------------------------------------------

    def __getitem__(self, feature: int) -> Sketch:
        return self.features[feature]

    def unmet(self, feature: int) -> int:
        """How many dependencies hold a feature back."""
        return sum(self[need].status not in SATISFIED for need in self.needs[feature])

    def height(self, feature: int) -> int:
        """How long a chain of features waits on one."""
        waiting = [other for other, needs in self.needs.items() if feature in needs]
        return max((self.height(other) + 1 for other in waiting), default=0)

    def ready(self) -> list[int]:
        """What can be claimed, in the order in which it is."""
        free = [
            feature
            for feature, one in self.features.items()
            if one.status is P
            and not one.backs_off
            and not self.unmet(feature)
            and not self.is_held_back(feature)
        ]
        tall = {one: -self.height(one) if self.order == "critical_path" else 0 for one in free}
        return sorted(free, key=lambda one: (self[one].skips, tall[one], self.priority[one], one))

    def any(self, status: Status) -> bool:
        """Whether there is a feature of that status."""
        return any(one.status is status for one in self.features.values())

    def held_by(self, holder: str) -> list[int]:
        """What a name holds."""
        return [feature for feature, one in self.features.items() if one.holder == holder]

    def is_held_back(self, feature: int) -> bool:
        """Whether somebody works on a feature that may change the same files."""
        claimed = [other for other, one in self.features.items() if one.status is I]
        own = areas_of(self.paths[feature])
        return any(
            one.meets(other) for there in claimed for other in areas_of(self.paths[there]) for one in own
        )

    def reaches(self, start: int, end: int) -> bool:
        """Whether `start` depends on `end`, over any number of edges."""
        return start == end or any(self.reaches(need, end) for need in self.needs[start])

    def idle_state(self) -> str:
        """Why there is nothing to claim."""
        there = {one.status for one in self.features.values()}
        if not there & {P, I, H, S}:
            if self.verifier == "other" and any(self[one].status is D for one in self.unconfirmed):
                return "waiting_for_confirmation"
            return "complete" if D in there else "empty"
        resting = any(
            one.backs_off and one.status is P and not self.unmet(feature)
            for feature, one in self.features.items()
        )
        reasons = {
            "waiting_for_claims": I in there,
            "waiting_for_back_off": resting,
            "waiting_for_human": H in there,
            "stuck": S in there,
        }
        return next((state for state, applies in reasons.items() if applies), "waiting_for_dependencies")

    # -- moves ----------------------------------------------------------------------------------------

    def create(self, needs: set[int], paths: Iterable[str]) -> None:
        """A new feature behind all the others."""
        number = len(self.features) + 1
        self.features[number], self.needs[number], self.paths[number] = Sketch(), needs, list(paths)
        self.passed_by[number] = self.confirmed_by[number] = None
        self.priority[number] = self._behind()
        self.events += 1

    def rule(self, verifier: str) -> None:
        """From now on passes are to be confirmed by another agent, or no longer."""
        self.verifier = verifier
        self.events += 1

    def change_files(self, feature: int, paths: Iterable[str]) -> None:
        """What a feature changes is other than was thought."""
        self.paths[feature] = list(paths)
        self.events += 1

    def claim(self, holder: str, feature: int | None, token: str | None) -> int | None:
        """Who claims gets this feature, or the next; None where there is nothing. `token` is what was given."""
        held = self.held_by(holder)
        if feature is None:
            if held:
                raise No("already_holding")
            queue = self.ready()
            if not queue:
                return None
            feature = queue[0]
        unmet = self.unmet(feature) > 0
        if feature in held or (held and self[feature].status is P and not unmet):
            raise No("already_holding")
        claimed = model.claim(self[feature], holder, token or "", unmet=unmet)
        if self.is_held_back(feature):
            raise No("not_ready")
        self._now(feature, claimed)
        return feature

    def resume(self, holder: str, token: str | None) -> int | None:
        """Take back what a name holds, under a fresh token."""
        held = self.held_by(holder)
        if not held:
            return self.claim(holder, None, token)
        self._now(held[0], model.resume(self[held[0]], token or ""))
        return held[0]

    def move(self, feature: int, token: str | None, kind: Kind, by: str) -> bool:
        """Whether a move of a claim is made; False where it is a repetition, which changes nothing."""
        before = self[feature]
        made: Made = model.move(before, kind, token, LIMITS, unmet=self.unmet(feature) > 0)
        if made.kind is None:
            return False
        if made.kind is Kind.SKIP:
            self.priority[feature] = self._behind()
        elif made.kind is Kind.PASS:
            self._proof(feature, before.holder, waits=self.verifier == "other")
        elif made.kind is Kind.REGRESS:
            self._proof(feature, None, waits=False)
        elif made.kind is Kind.VERIFY and self.verifier == "other" and by != self.passed_by[feature]:
            self._confirm(feature, by)
        self._now(feature, made.one)
        return True

    def overrule(self, feature: int, by: str) -> None:
        """A planner confirms a pass that waits for it."""
        if self[feature].status is not D or feature not in self.unconfirmed:
            raise No("invalid_input")
        self._confirm(feature, by)
        self.events += 1

    def force(self, feature: int) -> None:
        """A planner frees a claim."""
        self._now(feature, model.force(self[feature], LIMITS))

    def expire(self, feature: int) -> None:
        """A lease runs out and is reaped."""
        if self[feature].status is I:
            self._now(feature, model.end(self[feature], Kind.EXPIRE, LIMITS))

    def back_off_ends(self, feature: int) -> None:
        """Time passes."""
        self.features[feature] = replace(self[feature], backs_off=False)

    def answer(self, feature: int) -> None:
        """A person answers, or the request is withdrawn."""
        self._now(feature, model.answer(self[feature]))

    def retry(self, feature: int) -> None:
        """A stuck feature is put back."""
        self._now(feature, model.retry(self[feature]))

    def archive(self, feature: int, *, archived: bool) -> None:
        """A feature is taken off the board, or brought back."""
        after = model.archive(self[feature], archived=archived)
        if after is not self[feature]:
            self._now(feature, after)

    def depend(self, feature: int, needs: set[int]) -> None:
        """Replace what a feature waits for."""
        if any(self.reaches(need, feature) for need in needs - self.needs[feature]):
            raise No("would_cycle")
        if needs != self.needs[feature]:
            self.needs[feature] = needs
            self.events += 1

    # -- in moves -------------------------------------------------------------------------------------

    def _now(self, feature: int, after: Sketch) -> None:
        self.features[feature] = after
        self.events += 1

    def _proof(self, feature: int, by: str | None, *, waits: bool) -> None:
        self.passed_by[feature], self.confirmed_by[feature] = by, None
        (self.unconfirmed.add if waits else self.unconfirmed.discard)(feature)

    def _confirm(self, feature: int, by: str) -> None:
        if feature in self.unconfirmed:
            self.unconfirmed.discard(feature)
            self.confirmed_by[feature] = by

    def _behind(self) -> int:
        return max(self.priority.values(), default=0) + 1
