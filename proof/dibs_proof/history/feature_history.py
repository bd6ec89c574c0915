"""All that a history says of one feature, and what may have ended its claims without any call."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dibs_proof.history import expectations
from dibs_proof.history.dependencies import Graph
from dibs_proof.history.expectations import UNKNOWN, Act
from dibs_proof.history.history import Call, Connection, History
from dibs_proof.history.interpret import CREATES, Reading, claimed_by, holder_of
from dibs_proof.history.model import Sketch
from dibs_schema.status import Kind

SLACK = 0.1
"""Seconds by which clocks that are read at different places may seem to differ."""


class Ending(NamedTuple):
    """A claim may have been ended by that, at a moment between the two."""

    kind: Kind
    earliest: float
    latest: float


@dataclass(slots=True)
class Ledger:
    """One feature: its first state, its acts, the claims on it whose answers were lost, and how claims may end.

    `nobodys` are the begins of claims that may have taken this feature, or another one, or none.
    """

    feature: int
    first: Sketch | None
    acts: list[Act] = field(default_factory=list)
    nobodys: list[float] = field(default_factory=list)
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    issued: dict[str, Call] = field(default_factory=dict)


def ledgers(history: History, reading: Reading, graph: Graph) -> dict[int, Ledger]:
    """The ledger of each feature; claims and passes are narrowed to when their dependencies may have been met."""
    acts_of: dict[int, list[Act]] = defaultdict(list)
    for call in history.calls:
        for act in reading.acts(call):
            acts_of[act.feature].append(_narrowed(act, reading, graph))
    found = {
        number: Ledger(number, _first(history, number, acts_of[number]), acts_of[number])
        for number in sorted({*history.start, *acts_of})
    }
    for token, calls in reading.holders.items():
        number = claimed_by(calls[0])
        assert number is not None
        found[number].issued[token] = calls[0]
        found[number].endings[token] = list(endings(history, calls))
    for ledger in found.values():
        _add_lost_claims(history, reading, ledger)
    return found


def _narrowed(act: Act, reading: Reading, graph: Graph) -> Act:
    """The act, at moments at which what it rests on may have been so; whole where there is none."""
    if act.feature != (claimed_by(act.call) or act.call.arguments.get("feature_id")):
        return act  # it only shows this feature
    if not reading.had_nothing_unmet(act.call):
        return act
    spans = graph.met(act.feature, (act.begun, act.ended))
    return replace(act, begun=spans[0][0], ended=spans[-1][1]) if spans else act


def _first(history: History, number: int, acts_: list[Act]) -> Sketch | None:
    known = history.start.get(number)
    if known is not None:
        return known.one
    created = any(act.creates for act in acts_)
    lost = any(call.lost and call.tool in CREATES for call in history.calls)
    return Sketch() if lost and not created else None


def endings(history: History, calls: list[Call]) -> Iterator[Ending]:
    """How a claim may have ended by itself: with the connection of anybody who was given its token."""
    for call in calls:
        connection = history.connection(call.client)
        lease_ends = call.begun + connection.lease - SLACK
        for change in connection.interruptions:
            if change.change == "closed":
                yield Ending(Kind.RELEASE, change.at, math.inf)
            if change.change in ("killed", "closed"):
                yield Ending(Kind.EXPIRE, max(change.at, lease_ends), math.inf)
        for begun, ended in _pauses(connection):
            if ended - begun > connection.lease / 3 - SLACK:  # else it was renewed in time
                yield Ending(Kind.EXPIRE, max(begun, lease_ends), ended + connection.lease)


def _pauses(connection: Connection) -> Iterator[tuple[float, float]]:
    begun: float | None = None
    for change in sorted(connection.interruptions, key=lambda change: change.at):
        if change.change == "stopped" and begun is None:
            begun = change.at
        elif change.change == "continued" and begun is not None:
            yield begun, change.at
            begun = None
    if begun is not None:
        yield begun, math.inf


def _add_lost_claims(history: History, reading: Reading, ledger: Ledger) -> None:
    for call in reading.lost_claims:
        asked = call.arguments.get("feature_id")
        if asked is None or asked == ledger.feature:
            ledger.nobodys.append(call.begun)
        if asked is None and call.arguments.get("resume"):
            holder = holder_of(history, call)
            if any(holder_of(history, one) == holder for one in ledger.issued.values()):
                would = expectations.claiming(call, holder, UNKNOWN, {"code": "never"}, again=False)
                ledger.acts.append(Act(ledger.feature, call, would, None, call.begun, history.over_by(call)))
    ledger.nobodys.sort()
