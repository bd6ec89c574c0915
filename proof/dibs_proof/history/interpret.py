"""Reading a history: what each call means for each feature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dibs_proof.history import expectations, model
from dibs_proof.history.expectations import UNKNOWN, Act, Said, Would
from dibs_proof.history.history import Call, History
from dibs_schema.status import Kind, Status

CLAIMS = ("feature_claim_and_get", "feature_mark_in_progress")
CREATES = ("feature_create", "feature_create_bulk")
DEPENDS = ("feature_add_dependency", "feature_remove_dependency", "feature_set_dependencies")
MOVES = {
    "feature_heartbeat": Kind.HEARTBEAT,
    "feature_mark_passing": Kind.PASS,
    "feature_mark_failing": Kind.FAIL,
    "feature_skip": Kind.SKIP,
    "feature_clear_in_progress": Kind.RELEASE,
    "feature_request_human_input": Kind.ASK,
}
COUNTED = {Kind.FAIL: "failures", Kind.SKIP: "skips", Kind.RELEASE: "attempts"}
"""The counter that the acknowledgement of a move shows; what has its default is left out of it."""
JUDGED = {
    "already_claimed",
    "already_passing",
    "archived",
    "claim_lost",
    "not_claimed",
    "not_found",
    "not_ready",
    "not_waiting_for_human",
    "stuck",
    "token_required",
    "unmet_dependencies",
    "waiting_for_human",
}
"""Refusals that speak of the feature's state; the others are about the call or the database, and change nothing."""


def token_of(call: Call) -> str | None:
    """The token that a claim was given."""
    if call.tool not in CLAIMS or call.lost or call.refused or call.answer is None:
        return None
    if call.tool == "feature_mark_in_progress":
        return str(call.answer["token"])
    return str(call.answer["claim"]["token"]) if call.answer["state"] == "claimed" else None


def claimed_by(call: Call) -> int | None:
    """The feature that a call has claimed."""
    if token_of(call) is None or call.answer is None:
        return None
    work = call.answer if call.tool == "feature_mark_in_progress" else call.answer["feature"]
    return int(work["id"])


def holder_of(history: History, call: Call) -> str:
    """Who claims by a call: the agent that it or its server names, else the connection."""
    return str(call.arguments.get("agent") or history.connection(call.client).agent or call.client)


class Reading:
    """The acts of a history by feature, and the claims in it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.issued: dict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
        self.holders: dict[str, list[Call]] = defaultdict(list)
        self.lost_claims: list[Call] = []
        self._requests: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
        self._passes: dict[int, list[Call]] = defaultdict(list)
        for call in history.calls:
            if call.tool == "feature_mark_passing" and (call.lost or not call.refused):
                self._passes[call.arguments["feature_id"]].append(call)
            if (key := self._key(call)) is not None:
                self._requests[key].append(call)
            token, feature = token_of(call), claimed_by(call)
            if token is not None and feature is not None:
                self.issued[call.client, feature].append((call.begun, token))
                self.holders[token].append(call)
        seen: set[int] = set()
        for call in history.calls:
            group = self.repeats(call)
            if call.tool in CLAIMS and call.lost and not any(token_of(one) for one in group):
                if id(group[0]) not in seen:
                    self.lost_claims.append(group[0])
                seen.add(id(group[0]))

    def _key(self, call: Call) -> tuple[str, str, str] | None:
        key = call.arguments.get("request_id")
        if key is None:
            return None
        return call.tool, holder_of(self.history, call) if call.tool in CLAIMS else "", str(key)

    def repeats(self, call: Call) -> list[Call]:
        """The calls that carry the same request_id, and so have one effect together."""
        key = self._key(call)
        return [call] if key is None else self._requests[key]

    def had_nothing_unmet(self, call: Call) -> bool:
        """Whether the call began a claim or passed one, for which no dependency may have been unmet.

        A pass that may only repeat an earlier one does not count.
        """
        if call.refused or call.lost:
            return False
        if claimed_by(call) is not None:
            return not call.arguments.get("resume")
        token = call.arguments.get("claim_token")
        if call.tool != "feature_mark_passing" or token is None:
            return False
        passes = self._passes[call.arguments["feature_id"]]
        return next(one for one in passes if one.arguments.get("claim_token") in (None, token)) is call

    def acts(self, call: Call) -> Iterator[Act]:
        """What a call means for each feature that it speaks of."""
        feature = call.arguments.get("feature_id")
        if call.code == "already_holding" and call.answer is not None:
            agent = holder_of(self.history, call)
            told = {"status": Status.IN_PROGRESS.value, "holder": agent}
            yield self._act(call.answer["id"], call, expectations.held_by(agent), told)
        elif call.refused and not call.lost and not self._is_judged(call):
            return
        elif call.tool in CLAIMS:
            yield from self._claim(call, feature)
        elif call.tool in CREATES:
            yield from self._create(call)
        elif feature is not None:
            would = self._would(call, int(feature))
            if would is not None:
                yield self._act(int(feature), call, would, told_of(call))
        if call.answer is not None and expectations.is_hindered(call):
            yield self._act(
                call.answer["held_by"], call, expectations.looking, {"status": Status.IN_PROGRESS.value}
            )
        if call.answer is not None and not call.refused and "request_id" not in call.arguments:
            for number, told in looks(call.answer, call.tool):
                yield self._act(number, call, expectations.looking, told)

    def _is_judged(self, call: Call) -> bool:
        if call.code == "invalid_input":
            return bool(call.arguments.get("retry"))
        if call.tool in DEPENDS or (call.code == "claim_lost" and call.tool in CLAIMS):
            return False  # about another feature, or about the claim that a request_id stands for
        return call.code in JUDGED and call.arguments.get("feature_id") is not None

    def _claim(self, call: Call, feature: int | None) -> Iterator[Act]:
        if call.lost:
            if call.arguments.get("resume") and feature is not None:
                would = expectations.claiming(
                    call, holder_of(self.history, call), UNKNOWN, {"code": "never"}, again=False
                )
                yield self._act(feature, call, would, None)
            return
        token, given = token_of(call), claimed_by(call)
        if token is None and not call.refused:
            return  # there was nothing to claim
        number, told = given if given is not None else feature, told_of(call)
        assert number is not None, "a judged refusal names the feature"
        again = call.arguments.get("request_id") is not None
        would = expectations.claiming(
            call, holder_of(self.history, call), token or UNKNOWN, told, again=again
        )
        begun = min(one.begun for one in self.repeats(call))
        yield Act(number, call, would, told, begun, call.until)

    def _create(self, call: Call) -> Iterator[Act]:
        group = [one for one in self.repeats(call) if not one.lost and not one.refused]
        if call.lost or group[:1] != [call] or call.answer is None:
            return  # nobody knows its ids, or the first of its kind has told them
        begun = min(one.begun for one in self.repeats(call))
        for number in call.answer.get("ids", []):
            yield Act(number, call, expectations.looking, {}, begun, call.until, creates=True)

    def _would(self, call: Call, feature: int) -> Would | None:
        limits = self.history.limits
        if call.tool == "feature_clear_in_progress" and call.arguments.get("force"):
            return expectations.changing(lambda one: model.force(one, limits))
        if call.tool in MOVES:
            return expectations.moving(MOVES[call.tool], self._meant(call, feature), told_of(call), limits)
        if call.tool == "feature_answer_human_input":
            return expectations.changing(model.answer)
        if call.tool == "feature_update":
            return expectations.updating(call.arguments)
        return expectations.looking

    def _meant(self, call: Call, feature: int) -> tuple[str | None, ...]:
        """The claims that a move may be about: what it says, or what its server may remember."""
        given = call.arguments.get("claim_token")
        if given is not None:
            return (given,)
        mine = [token for begun, token in self.issued[call.client, feature] if begun < call.until]
        lost = any(one.client == call.client and one.begun < call.until for one in self.lost_claims)
        return (None, *mine, UNKNOWN) if lost else (None, *mine)

    def _act(self, feature: int, call: Call, would: Would, told: Said) -> Act:
        return Act(feature, call, would, told, call.begun, self.history.over_by(call))


def told_of(call: Call) -> Said:
    """What an answer says of the feature that the call was about; None where it was lost."""
    if call.lost or call.answer is None:
        return None
    if call.refused:
        return {"code": call.answer["code"]}
    if call.tool == "feature_claim_and_get":
        attempts = call.answer.get("feature", {}).get("attempts", 1)
        return {"status": Status.IN_PROGRESS.value, "attempts": attempts}
    told = {"status": call.answer["status"]} if "status" in call.answer else {}
    if call.tool == "feature_get_by_id" and told:
        return told | {name: call.answer.get(name, 0) for name in COUNTED.values()}
    counter = COUNTED.get(MOVES.get(call.tool, Kind.NOTE))
    return told | ({counter: call.answer.get(counter, 0)} if counter else {})


def looks(answer: dict[str, Any], tool: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The features whose status an answer shows beside, by number."""
    rows = [*answer.get("features", []), *answer.get("nodes", []), *answer.get("dependencies", [])]
    work = answer.get("feature")
    rows += work.get("dependencies", []) if isinstance(work, dict) else []
    for row in rows:
        if tool == "feature_get_for_regression":
            yield row["id"], {"status": Status.PASSING.value}
        elif "status" in row:
            yield row["id"], {"status": row["status"]}
