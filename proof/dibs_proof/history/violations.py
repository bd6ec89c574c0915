"""The violations that the checker finds in a history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dibs_proof.history.history import Call
from dibs_proof.history.model import FeatureState
from dibs_schema.status import Status

LONGEST = 200
"""The number of characters of a call's arguments or answer that a line shows."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: its kind, its feature, and the shortest history that proves it.

    Kinds: two_holders, late_token, live_claim_lost, change_lost, no_order, dependency, token_twice, adopted_other,
    unreported, forbidden, complete, skip_order, back_off, too_many, question, undecided (too many possibilities to check).
    """

    kind: str
    feature: int | None
    message: str
    calls: tuple[Call, ...] = ()

    def __str__(self) -> str:
        head = f"{self.kind}: {self.message}"
        zero = min((call.begun for call in self.calls), default=0.0)
        shown = sorted(self.calls, key=lambda call: call.begun)
        return "\n".join([head, *(f"  {call_text(call, zero)}" for call in _once(shown))])


def _once(calls: Iterable[Call]) -> list[Call]:
    return list({(call.client, call.number): call for call in calls}.values())


def call_text(call: Call, zero: float = 0.0) -> str:
    """Return a call as one line, with times in seconds after `zero`."""
    span = f"{call.begun - zero:9.4f} .. " + (f"{call.ended - zero:9.4f}" if call.ended is not None else "?".rjust(9))
    given = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{span}  {call.client}: {call.tool}({given[:LONGEST]}) -> {_outcome(call)}"


def _outcome(call: Call) -> str:
    if call.answer is None:
        return "no answer: whether it took effect is unknown"
    if call.refused:
        return f"refused with {call.answer['code']}"
    answer: dict[str, Any] = call.answer
    if "claim" in answer:
        return f"claimed feature {answer['feature']['id']} with the token {answer['claim']['token']}"
    return ", ".join(
        f"{name} {answer[name]}"
        for name in ("state", "id", "ids", "status", "token", "attempts", "failures", "skips", "priority")
        if name in answer
    )[:LONGEST]


def state_text(one: FeatureState | None) -> str:
    """Return a feature's state as text."""
    if one is None:
        return "not there"
    if one.status is Status.IN_PROGRESS:
        return f"claimed by {one.holder} with the token {one.token}"
    last = f" (the claim {one.ended[0]} was ended by {one.ended[1]})" if one.ended[0] else ""
    return f"{one.status.value}{last}"
