"""Checking a history: whether it can be true, if each call took effect at one moment while it was open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dibs_proof.history import cross_feature
from dibs_proof.history.claim_limits import nobody_holds_too_many
from dibs_proof.history.dependencies import Graph
from dibs_proof.history.expectations import Act, Said
from dibs_proof.history.feature_history import Ledger, ledgers
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import Reading
from dibs_proof.history.linearizability import Contradiction, Undecided, contradiction
from dibs_proof.history.model import Limits, Sketch
from dibs_proof.history.questions import questions_are_closed_once
from dibs_proof.history.violations import Violation, state
from dibs_schema.status import Status


def check(history: History) -> list[Violation]:
    """Every way in which the history cannot be true; none where it can.

    Each feature by itself must have an order of its calls that fits, and so must what spans features.
    """
    history = replace(history, calls=sorted(history.calls, key=lambda call: call.begun))
    reading = Reading(history)
    graph = Graph(history, reading)
    found = [*cross_feature.check(history, reading, graph), *nobody_holds_too_many(history, reading)]
    found += questions_are_closed_once(history)
    for ledger in ledgers(history, reading, graph).values():
        found += _in_order(ledger, history.limits)
    return found


def _in_order(ledger: Ledger, limits: Limits) -> Iterator[Violation]:
    try:
        found = contradiction(ledger, limits)
    except Undecided:
        yield Violation(
            "undecided", ledger.feature, f"feature {ledger.feature}: too many calls are without an answer"
        )
        return
    if found is not None:
        yield _explained(ledger, found)


def _explained(ledger: Ledger, found: Contradiction) -> Violation:
    act, one = found.act, found.places[0]
    where = " or ".join(dict.fromkeys(map(state, found.places[:3])))
    wanted = dict.fromkeys(_words(act, said) for one in found.reached[:20] for said in act.expected(one))
    message = (
        f"feature {ledger.feature} was {where}, so that the last of these calls should have been "
        f"answered with {' or '.join(wanted) or 'something else'}; no order of the calls gives what was answered"
    )
    return Violation(_kind(found), ledger.feature, message, tuple(_story(ledger, found, one)))


def _words(act: Act, said: Said) -> str:
    if said is None or "code" in said:
        return str(said["code"]) if said else "what was said before"
    told = act.told or {}
    counted = [f"{name} {value}" for name, value in said.items() if name != "status" and name in told]
    return ", ".join([str(said["status"]), *counted])


def _kind(found: Contradiction) -> str:
    """What the contradiction amounts to, as far as one can tell."""
    told = found.act.told or {}
    wanted = [said for one in found.reached for said in found.act.expected(one)]
    codes = {said.get("code") if said is not None else None for said in wanted}
    if "code" not in told:
        if codes & {
            None,
            "not_found",
        }:  # it should have been acknowledged with other words, or is about nothing
            return "no_order"
        if "claim_lost" in codes:
            return "late_token"
        return "two_holders" if codes == {"already_claimed"} else "change_lost"
    held = all(one is not None and one.status is Status.IN_PROGRESS for one in found.places)
    return "live_claim_lost" if told["code"] == "claim_lost" and held else "no_order"


def _story(ledger: Ledger, found: Contradiction, one: Sketch | None) -> Iterator[Call]:
    """The calls that led to where the feature was, what was open beside, and the call that does not fit."""
    tokens = [one.token, one.ended[0]] if one is not None else []
    for token in tokens:
        if token in ledger.issued:
            yield ledger.issued[token]
    before = [act for act in ledger.acts if act.ended <= found.act.ended and act is not found.act]
    ends = [
        act.call
        for act in before
        if one is not None
        and act.call.arguments.get("claim_token") == one.ended[0]
        and "code" not in (act.told or {})
    ]
    yield from ends[-1:]
    yield from [act.call for act in found.beside]
    yield found.act.call
