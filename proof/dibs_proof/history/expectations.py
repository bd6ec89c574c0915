"""What one call means for one feature: what the model would do and say, to be held against what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dibs_proof.history import model
from dibs_proof.history.history import Call
from dibs_proof.history.model import Limits, Made, No, Sketch
from dibs_schema.status import Kind, Status

UNKNOWN = "?"
"""The token, and the holder, of a claim whose answer was lost."""

Said = dict[str, Any] | None
"""What is said of a move: its refusal's `code`, or the `status` and counters after it; None for whatever."""
Would = Callable[[Sketch], Iterator[tuple[Sketch, Said]]]
"""Each way in which the model may take the call in a state: the state after it, and what it says."""


@dataclass(frozen=True, slots=True)
class Act:
    """One call as it concerns one feature.

    It takes effect at one moment from `begun` to `ended`; if it is `lost`, then or never. `told` is what was
    said of it, and so much of the model's words is compared.
    """

    feature: int
    call: Call
    would: Would
    told: Said
    begun: float
    ended: float
    creates: bool = False

    @property
    def lost(self) -> bool:
        """Whether nobody knows if it has happened."""
        return self.told is None

    def after(self, one: Sketch | None) -> list[Sketch | None]:
        """The states that it may lead to, where the model says what was said; None where there is no feature."""
        if self.creates:
            return [Sketch()] if one is None else []
        if one is None:
            return [None] if self.told == {"code": "not_found"} else []
        return [after for after, said in self.would(one) if self._agrees(said)]

    def expected(self, one: Sketch | None) -> list[Said]:
        """What the model would say instead."""
        return [{"code": "not_found"}] if one is None else [said for _, said in self.would(one)]

    def _agrees(self, said: Said) -> bool:
        if self.told is None:
            return said is None or "code" not in said
        if said is None:
            return "code" not in self.told
        return all(said.get(name) == value for name, value in self.told.items())


def claiming(call: Call, holder: str, token: str, told: Said, *, again: bool) -> Would:
    """A claim: of a ready feature, by `resume` of the holder's own, or `again` with the same request_id."""
    code = (told or {}).get("code")
    hindered = is_hindered(call)

    def would(one: Sketch) -> Iterator[tuple[Sketch, Said]]:
        if hindered and one.status is Status.PENDING:
            yield one, told
            return
        if again and one.token == token:
            yield one, None
        if call.arguments.get("resume") and one.holder in (holder, UNKNOWN):
            taken = replace(model.resume(one, token), holder=holder)
            yield taken, shown(taken)
        rested = replace(one, backs_off=one.backs_off and code == "not_ready")  # its time is judged elsewhere
        try:
            claimed = model.claim(rested, holder, token, unmet=code == "unmet_dependencies")
        except No as no:
            yield one, {"code": no.code}
        else:
            yield claimed, shown(claimed)

    return would


def is_hindered(call: Call) -> bool:
    """Whether a claim was refused since somebody works on the same files."""
    return call.code == "not_ready" and "held_by" in (call.answer or {})


def moving(kind: Kind, tokens: tuple[str | None, ...], told: Said, limits: Limits) -> Would:
    """A move of one of the claims that the call may have been about (None: of no claim)."""
    unmet = (told or {}).get("code") == "unmet_dependencies"

    def would(one: Sketch) -> Iterator[tuple[Sketch, Said]]:
        for token in tokens:
            try:
                made = model.move(one, kind, token, limits, unmet=unmet)
            except No as no:
                yield one, {"code": no.code}
            else:
                yield made.one, _acknowledged(made)
        if len(tokens) > 2:  # the server has issued several, and cannot tell which is meant
            yield one, {"code": "token_required"}
        if kind is Kind.ASK and one.token in tokens and one.token is not None:
            yield one, {"status": Status.IN_PROGRESS}  # answered at once, and the claim goes on

    return would


def _acknowledged(made: Made) -> Said:
    if made.kind is None:
        return None
    return shown(made.one) | ({"failures": 0} if made.kind is Kind.REGRESS else {})


def changing(change: Callable[[Sketch], Sketch]) -> Would:
    """A change that needs no claim."""

    def would(one: Sketch) -> Iterator[tuple[Sketch, Said]]:
        try:
            after = change(one)
        except No as no:
            yield one, {"code": no.code}
        else:
            yield after, shown(after)

    return would


def updating(arguments: dict[str, Any]) -> Would:
    """What `feature_update` does beside texts."""

    def change(one: Sketch) -> Sketch:
        after = model.retry(one) if arguments.get("retry") else one
        wanted = arguments.get("archived")
        return after if wanted is None else model.archive(after, archived=bool(wanted))

    return changing(change)


def looking(one: Sketch) -> Iterator[tuple[Sketch, Said]]:
    """A look, which changes nothing."""
    yield one, shown(one)


def held_by(holder: str) -> Would:
    """Being told that one holds it already."""

    def would(one: Sketch) -> Iterator[tuple[Sketch, Said]]:
        yield one, shown(one) | {"holder": holder if one.holder == UNKNOWN else one.holder}

    return would


def shown(one: Sketch) -> dict[str, Any]:
    """What of a feature answers may show."""
    return {
        "status": one.status.value,
        "attempts": one.attempts,
        "failures": one.failures,
        "skips": one.skips,
    }
