"""A small model of a backlog in plain Python: what each move should do, and when it should be refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from dibs_schema.status import SATISFIED, Kind, Status

MOST_FAILURES, MOST_ATTEMPTS, MOST_SKIPS = 2, 4, 2

P, I, D, H, S, A = Status  # noqa: E741 - as in the table of moves
RESTING = {H: "waiting_for_human", S: "stuck", A: "archived"}


class No(Exception):  # noqa: N818 - it is the model's word for a refusal
    """The model refuses, with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Sketch:
    """One feature as the model has it."""

    id: int
    priority: int
    needs: set[int] = field(default_factory=set)
    status: Status = P
    archived_from: Status | None = None
    skips: int = 0
    attempts: int = 0
    failures: int = 0
    backs_off: bool = False
    token: str | None = None
    holder: str | None = None
    ended: tuple[str | None, Kind | None] = (None, None)


class Model:
    """The features, and the moves on them. A move returns the kinds of the events that it writes."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.features: dict[int, Sketch] = {}
        self.events = 0

    # -- looking --------------------------------------------------------------------------------------

    def __getitem__(self, feature: int) -> Sketch:
        return self.features[feature]

    def unmet(self, feature: int) -> int:
        """How many dependencies hold a feature back."""
        return sum(self[need].status not in SATISFIED for need in self[feature].needs)

    def height(self, feature: int) -> int:
        """How long a chain of features waits on one."""
        waiting = [other.id for other in self.features.values() if feature in other.needs]
        return max((self.height(other) + 1 for other in waiting), default=0)

    def ready(self) -> list[int]:
        """What can be claimed, in the order in which it is."""
        free = [
            one
            for one in self.features.values()
            if one.status is P and not one.backs_off and not self.unmet(one.id)
        ]
        tall = {one.id: -self.height(one.id) if self.order == "critical_path" else 0 for one in free}
        return [
            one.id for one in sorted(free, key=lambda one: (one.skips, tall[one.id], one.priority, one.id))
        ]

    def held_by(self, holder: str) -> list[int]:
        """What a name holds."""
        return [one.id for one in self.features.values() if one.holder == holder]

    def reaches(self, start: int, end: int) -> bool:
        """Whether `start` depends on `end`, over any number of edges."""
        return start == end or any(self.reaches(need, end) for need in self[start].needs)

    def idle_state(self) -> str:
        """Why there is nothing to claim."""
        there = {one.status for one in self.features.values()}
        if not there & {P, I, H, S}:
            return "complete" if D in there else "empty"
        resting = any(
            one.backs_off and one.status is P and not self.unmet(one.id) for one in self.features.values()
        )
        reasons = {
            "waiting_for_claims": I in there,
            "waiting_for_back_off": resting,
            "waiting_for_human": H in there,
            "stuck": S in there,
        }
        return next((state for state, applies in reasons.items() if applies), "waiting_for_dependencies")

    # -- moves ----------------------------------------------------------------------------------------

    def create(self, needs: set[int]) -> None:
        """A new feature behind all the others."""
        number = len(self.features) + 1
        self.features[number] = Sketch(number, self._behind(), needs)
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
        elif feature in held:
            raise No("already_holding")
        elif feature not in self.ready():
            raise No(self._why_not(feature))
        elif held:
            raise No("already_holding")
        one = self[feature]
        one.status, one.token, one.holder, one.backs_off = I, token, holder, False
        one.attempts += 1
        self.events += 1
        return feature

    def resume(self, holder: str, token: str | None) -> int | None:
        """Take back what a name holds, under a fresh token."""
        held = self.held_by(holder)
        if not held:
            return self.claim(holder, None, token)
        one = self[held[0]]
        one.ended, one.token = (one.token, Kind.RESUME), token
        self.events += 1
        return one.id

    def move(self, feature: int, token: str | None, kind: Kind) -> bool:
        """Whether a move of a claim is made; False where it is a repetition, which changes nothing."""
        one = self[feature]
        if token is None:
            if kind is Kind.SKIP and one.status is P:
                self._skip(one)
                return True
            if one.status is D and kind is Kind.FAIL:
                self._regress(one)
                return True
            if one.status is D and kind is Kind.PASS:
                self.events += 1
                return True
            raise No({P: "not_claimed", I: "token_required", D: "already_passing", **RESTING}[one.status])
        if one.token == token:
            if kind is Kind.PASS and self.unmet(feature):
                raise No("unmet_dependencies")
            self._end(one, kind)
            return True
        if kind is Kind.FAIL and one.status is D and one.ended == (token, Kind.PASS):
            self._regress(one)
            return True
        if one.ended == (token, kind):
            return False
        raise No("claim_lost")

    def force(self, feature: int) -> None:
        """A planner frees a claim."""
        one = self[feature]
        if one.status is not I:
            raise No({P: "not_claimed", D: "already_passing", **RESTING}[one.status])
        self._end(one, Kind.RELEASE)

    def expire(self, feature: int) -> None:
        """A lease runs out and is reaped."""
        if self[feature].status is I:
            self._end(self[feature], Kind.EXPIRE)

    def answer(self, feature: int) -> None:
        """A person answers, or the request is withdrawn."""
        if self[feature].status is not H:
            raise No("not_waiting_for_human")
        self[feature].status = P
        self.events += 1

    def retry(self, feature: int) -> None:
        """A stuck feature is put back."""
        one = self[feature]
        if one.status is not S:
            raise No("invalid_input")
        one.status, one.attempts, one.failures, one.skips, one.backs_off = P, 0, 0, 0, False
        self.events += 1

    def archive(self, feature: int, *, archived: bool) -> None:
        """A feature is taken off the board, or brought back."""
        one = self[feature]
        if archived == (one.status is A):
            return
        if one.status is I:
            raise No("already_claimed")
        if archived:
            one.archived_from, one.status = one.status, A
        else:
            assert one.archived_from is not None
            one.status, one.archived_from = one.archived_from, None
        self.events += 1

    def depend(self, feature: int, needs: set[int]) -> None:
        """Replace what a feature waits for."""
        one = self[feature]
        if any(self.reaches(need, feature) for need in needs - one.needs):
            raise No("would_cycle")
        if needs != one.needs:
            one.needs = needs
            self.events += 1

    # -- in moves -------------------------------------------------------------------------------------

    def _why_not(self, feature: int) -> str:
        one = self[feature]
        if one.status is P:
            return "unmet_dependencies" if self.unmet(feature) else "not_ready"
        return {I: "already_claimed", D: "already_passing", **RESTING}[one.status]

    def _end(self, one: Sketch, kind: Kind) -> None:
        self.events += 1
        if kind is Kind.HEARTBEAT:
            return
        one.ended, one.token, one.holder = (one.token, kind), None, None
        match kind:
            case Kind.PASS:
                one.status, one.attempts, one.failures, one.skips = D, 0, 0, 0
            case Kind.ASK:
                one.status = H
            case Kind.SKIP:
                self.events -= 1
                self._skip(one)
            case _:
                one.failures += kind in (Kind.FAIL, Kind.EXPIRE)
                one.backs_off = kind is Kind.FAIL
                worn_out = one.attempts >= MOST_ATTEMPTS or (
                    kind is not Kind.RELEASE and one.failures >= MOST_FAILURES
                )
                one.status = S if worn_out else P

    def _skip(self, one: Sketch) -> None:
        one.priority = self._behind()
        one.skips += 1
        one.status = S if one.skips >= MOST_SKIPS else P
        self.events += 1

    def _regress(self, one: Sketch) -> None:
        one.status, one.ended = P, (None, None)  # that pass is undone, and repeating it acknowledges nothing
        self.events += 1

    def _behind(self) -> int:
        return max((one.priority for one in self.features.values()), default=0) + 1
