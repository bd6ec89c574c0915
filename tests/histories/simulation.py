"""Histories that are correct by construction: each call takes effect at one moment, with the right answer."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dibs_proof.history import model
from dibs_proof.history.history import Call, Connection, History, InitialFeature, Interruption
from dibs_proof.history.model import FeatureState, Refused, Transition
from dibs_schema.status import SATISFIED, Kind, Status

LEASE = 1.0
TOOLS = {
    Kind.PASS: "feature_mark_passing",
    Kind.FAIL: "feature_mark_failing",
    Kind.SKIP: "feature_skip",
    Kind.RELEASE: "feature_clear_in_progress",
    Kind.HEARTBEAT: "feature_heartbeat",
}
Answer = tuple[dict[str, Any], bool]
"""The structured content, and whether it is a refusal."""


class Simulation:
    """Random calls of clients, some of which are killed, on features of which some depend on others."""

    def __init__(self, seed: int, *, features: int, clients: int, lost: float) -> None:
        self._chance = chance = random.Random(seed)
        self._lost = lost
        needs = {
            n: frozenset(chance.sample(range(1, n), min(n - 1, chance.randrange(3)))) for n in range(1, features + 1)
        }
        self.history = History(
            back_off=None,
            max_claims_per_connection=features,
            start={n: InitialFeature(FeatureState(), needs[n]) for n in needs},
        )
        self._needs = needs
        self._now: dict[int, FeatureState] = {n: FeatureState() for n in needs}
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._claims: dict[str, list[tuple[int, str]]] = {}
        self._issued = 0
        self._clients = 0
        for _ in range(clients):
            self._join(chance.uniform(0, 0.1))

    def run(self, calls: int) -> History:
        """Make the given number of calls, or a few more."""
        while len(self.history.calls) < calls:
            at, _, happen = heapq.heappop(self._agenda)
            happen(at)
        return self.history

    def _later(self, at: float, happen: Callable[[float], None]) -> None:
        self._issued += 1
        heapq.heappush(self._agenda, (at, self._issued, happen))

    def _join(self, at: float) -> None:
        self._clients += 1
        client = f"client-{self._clients}"
        self.history.connections[client] = Connection(client, lease=LEASE)
        self._claims[client] = []
        self._plan(client, at)

    def _plan(self, client: str, since: float) -> None:
        begun = since + self._chance.expovariate(50)
        self._later(begun + self._chance.expovariate(100), lambda at: self._call(client, begun, at))

    def _call(self, client: str, begun: float, at: float) -> None:
        tool, arguments, effect = self._choose(client)
        number = len(self.history.calls)
        if self._chance.random() < self._lost:
            if self._chance.random() < 0.5:
                effect()
            if tool == "feature_mark_in_progress" and self._chance.random() < 0.5:
                tool, arguments = "feature_claim_and_get", {}  # so that its feature is unknown
            self.history.calls.append(Call(client, number, tool, arguments, begun))
            self._die(client, at)
            return
        answer, refused = effect()
        if token := answer.get("token"):
            self._claims[client].append((answer["id"], token))
        ended = at + self._chance.expovariate(100)
        self.history.calls.append(Call(client, number, tool, arguments, begun, ended, answer, refused))
        self._plan(client, ended)

    def _die(self, client: str, at: float) -> None:
        self.history.connections[client].interruptions.append(Interruption(client, "killed", at))
        self._later(at + LEASE + self._chance.uniform(0.1, 0.5), lambda _: self._reap(client))
        self._join(at)

    def _reap(self, client: str) -> None:
        for feature, state in self._now.items():
            if state.holder == client:
                self._now[feature] = model.end(state, Kind.EXPIRE, self.history.limits)

    def _choose(self, client: str) -> tuple[str, dict[str, Any], Callable[[], Answer]]:
        feature, token = self._chance.randint(1, len(self._now)), None
        claims = self._claims[client]
        if claims and self._chance.random() < 0.6:
            feature, token = claims[-1] if self._chance.random() < 0.8 else self._chance.choice(claims)
            kind = self._chance.choice([Kind.PASS, *TOOLS])
            arguments = {"feature_id": feature, "claim_token": token}
            return TOOLS[kind], arguments, lambda: self._transition(feature, kind, token)
        arguments = {"feature_id": feature}
        if self._chance.random() < 0.3:
            return "feature_update", arguments | {"retry": True}, lambda: self._retry(feature)
        if self._chance.random() < 0.3:
            return "feature_get_by_id", arguments, lambda: (self._shown(feature), False)
        if self._chance.random() < 0.2:
            return TOOLS[Kind.FAIL], arguments, lambda: self._transition(feature, Kind.FAIL, None)
        return "feature_mark_in_progress", arguments, lambda: self._claim(client, feature)

    def _claim(self, client: str, feature: int) -> Answer:
        self._issued += 1
        token = f"token {self._issued}"
        free = replace(self._now[feature], backs_off=False)
        unmet = [need for need in self._needs[feature] if self._now[need].status not in SATISFIED]
        try:
            self._now[feature] = model.claim(free, client, token, unmet=bool(unmet))
        except Refused as refused:
            return {"code": refused.code, "unmet": unmet}, True
        return {"id": feature, "status": "in_progress", "token": token}, False

    def _transition(self, feature: int, kind: Kind, token: str | None) -> Answer:
        unmet = [need for need in self._needs[feature] if self._now[need].status not in SATISFIED]
        try:
            made: Transition = model.transition(self._now[feature], kind, token, self.history.limits, unmet=bool(unmet))
        except Refused as refused:
            return {"code": refused.code, "unmet": unmet}, True
        self._now[feature] = made.state
        answer = self._shown(feature) | {"priority": 0}
        if made.kind is Kind.REGRESS:
            answer["failures"] = 0
        if unmet and made.kind in (Kind.HEARTBEAT, *model.AT_NO_COST):
            answer["blocked_by"] = unmet
        if made.kind is Kind.SKIP:
            self._issued += 1
            answer["priority"] = self._issued
        return (answer if made.kind is not None else self._first_answer(feature, kind, token)), False

    def _first_answer(self, feature: int, kind: Kind, token: str | None) -> dict[str, Any]:
        for call in self.history.calls:
            if call.tool == TOOLS[kind] and call.arguments.get("claim_token") == token and call.answer:
                return call.answer
        return self._shown(feature) | {"failures": 1, "priority": 0}  # its first answer was lost

    def _retry(self, feature: int) -> Answer:
        try:
            self._now[feature] = model.retry(self._now[feature])
        except Refused as refused:
            return {"code": refused.code}, True
        return self._shown(feature), False

    def _shown(self, feature: int) -> dict[str, Any]:
        state = self._now[feature]
        status: Status = state.status
        counters = {"attempts": state.attempts, "failures": state.failures, "skips": state.skips}
        return {"id": feature, "status": status.value, **counters}
