"""The interpretation of a history: the effects of each call on each feature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dibs_proof.history import expectations, model
from dibs_proof.history.expectations import UNKNOWN, Effect, Report, Simulate
from dibs_proof.history.history import Call, History
from dibs_proof.history.planned import REVIEWS, is_moved, simulate_planned
from dibs_schema.status import Kind, Status

CLAIMS = ("feature_claim_and_get", "feature_mark_in_progress")
CREATES = ("feature_create", "feature_create_bulk")
DEPENDS = ("feature_add_dependency", "feature_remove_dependency", "feature_set_dependencies")
TRANSITIONS = {
    "feature_heartbeat": Kind.HEARTBEAT,
    "feature_mark_passing": Kind.PASS,
    "feature_mark_failing": Kind.FAIL,
    "feature_skip": Kind.SKIP,
    "feature_clear_in_progress": Kind.RELEASE,
    "feature_request_human_input": Kind.ASK,
}
COUNTED = {Kind.FAIL: "failures", Kind.SKIP: "skips", Kind.RELEASE: "attempts"}
"""The counter that an acknowledgement reports, unless it has its default."""
OF_THE_STATE = {
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
"""Refusals that report the feature's state; the others are about the call or the database."""


def is_claim(call: Call) -> bool:
    """Return whether a call claims a feature: also the report of a broken one that its tester keeps."""
    return call.tool in CLAIMS or bool(call.arguments.get("keep"))


def token_of(call: Call) -> str | None:
    """Return the claim token that a call returned, or None."""
    if not is_claim(call) or call.lost or call.refused or call.answer is None:
        return None
    if call.tool != "feature_claim_and_get":
        return str(call.answer["token"])
    return str(call.answer["claim"]["token"]) if call.answer["state"] == "claimed" else None


def claimed_feature(call: Call) -> int | None:
    """Return the feature that a call claimed, or None."""
    if token_of(call) is None or call.answer is None:
        return None
    work = call.answer["feature"] if call.tool == "feature_claim_and_get" else call.answer
    return int(work["id"])


def holder_of(history: History, call: Call) -> str:
    """Return the holder of a call's claims: the agent that the call or its server names, or else the connection."""
    return str(call.arguments.get("agent") or history.connection(call.client).agent or call.client)


def new_ids(call: Call) -> list[int]:
    """Return the features that a call created, in order: its answer also has those that existed, which have lower ids."""
    if call.tool not in CREATES or call.refused or call.answer is None:
        return []
    return sorted(call.answer.get("ids", []))[call.answer.get("existing", 0) :]


class Interpretation:
    """The effects of a history's calls, and the claims in it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.issued: dict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
        self.holders: dict[str, list[Call]] = defaultdict(list)
        self.senders: dict[str, list[Call]] = defaultdict(list)
        self.adopters: dict[str, list[Call]] = defaultdict(list)
        self.claimed_again: list[Call] = []
        self.lost_claims: list[Call] = []
        self._requests: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
        self._passes: dict[int, list[Call]] = defaultdict(list)
        for call in history.calls:
            if call.tool == "feature_mark_passing" and (call.lost or not call.refused):
                self._passes[call.arguments["feature_id"]].append(call)
            if (key := self._key(call)) is not None:
                self._requests[key].append(call)
            self._remember_sent(call)
            adopted = history.connection(call.client).claim
            if adopted is not None and all(one.client != call.client for one in self.adopters[adopted]):
                self.adopters[adopted].append(call)
            token, feature = token_of(call), claimed_feature(call)
            if token in self.holders and expectations.has_already_claimed(call):
                self.claimed_again.append(call)
            elif token is not None and feature is not None:
                self.issued[call.client, feature].append((call.begun, token))
                self.holders[token].append(call)
        seen: set[int] = set()
        for call in history.calls:
            group = self.repeats(call)
            if is_claim(call) and call.lost and not any(token_of(one) for one in group):
                if id(group[0]) not in seen:
                    self.lost_claims.append(group[0])
                seen.add(id(group[0]))

    def _remember_sent(self, call: Call) -> None:
        """Note the token that a call sent with effect: its server may have regained the claim, and then remembers it."""
        sent = call.arguments.get("claim_token")
        if sent is None or (call.refused and not call.lost):
            return
        self.senders[sent].append(call)
        known = self.issued[call.client, call.arguments["feature_id"]]
        if sent not in {token for _, token in known}:
            known.append((call.begun, sent))

    def _key(self, call: Call) -> tuple[str, str, str] | None:
        key = call.arguments.get("request_id")
        if key is None:
            return None
        return call.tool, holder_of(self.history, call) if call.tool in CLAIMS else "", str(key)

    def repeats(self, call: Call) -> list[Call]:
        """Return the calls with the same request_id, which take effect once in total."""
        key = self._key(call)
        return [call] if key is None else self._requests[key]

    def had_nothing_unmet(self, call: Call) -> bool:
        """Return whether the call made a claim or a pass, which requires that no dependency was unmet.

        A pass that may repeat an earlier pass does not count.
        """
        if call.refused or call.lost:
            return False
        if claimed_feature(call) is not None:
            return not call.arguments.get("resume") and not expectations.has_already_claimed(call)
        token = call.arguments.get("claim_token")
        if call.tool != "feature_mark_passing" or token is None:
            return False
        passes = self._passes[call.arguments["feature_id"]]
        return next(one for one in passes if one.arguments.get("claim_token") in (None, token)) is call

    def effects(self, call: Call) -> Iterator[Effect]:
        """Yield the effects of a call on each feature that its answer reports."""
        feature = call.arguments.get("feature_id")
        if call.code == "already_holding" and call.answer is not None:
            agent = holder_of(self.history, call)
            reported = {"status": Status.IN_PROGRESS.value, "holder": agent}
            yield self._effect(call.answer["id"], call, expectations.simulate_already_holding(agent), reported)
        elif call.refused and not call.lost and not self._reports_the_state(call):
            return
        elif is_claim(call):
            yield from self._claim(call, feature)
        elif call.tool in CREATES:
            yield from self._create(call)
        elif feature is not None:
            simulate = self._simulation(call, int(feature))
            if simulate is not None:
                yield self._effect(int(feature), call, simulate, reported_by(call))
        if call.answer is not None and expectations.is_hindered(call):
            yield self._effect(
                call.answer["held_by"], call, expectations.simulate_read, {"status": Status.IN_PROGRESS.value}
            )
        if call.answer is not None and not call.refused and "request_id" not in call.arguments:
            for number, reported in reads_in(call.answer, call.tool):
                yield self._effect(number, call, expectations.simulate_read, reported)

    def _reports_the_state(self, call: Call) -> bool:
        if call.code == "invalid_input":
            return bool(call.arguments.get("retry")) or call.tool in REVIEWS
        if call.tool in DEPENDS or (call.code == "claim_lost" and call.tool in CLAIMS):
            return False  # it is about another feature, or about the claim of an earlier call with this request_id
        return call.code in OF_THE_STATE and call.arguments.get("feature_id") is not None

    def _claim(self, call: Call, feature: int | None) -> Iterator[Effect]:
        if call.lost:
            simulate = None
            if call.arguments.get("resume"):
                simulate = expectations.simulate_claim(
                    call, holder_of(self.history, call), UNKNOWN, {"code": "never"}, again=False
                )
            elif call.arguments.get("keep"):
                simulate = expectations.simulate_change(model.regress)
            if simulate is not None and feature is not None:
                yield self._effect(feature, call, simulate, None)
            return
        token, given = token_of(call), claimed_feature(call)
        if token is None and not call.refused:
            return  # there was nothing to claim
        number, reported = given if given is not None else feature, reported_by(call)
        assert number is not None, "a refusal of the state names the feature"
        if call.arguments.get("keep"):
            simulate = expectations.simulate_report(call, holder_of(self.history, call), token or UNKNOWN, reported)
            yield self._effect(number, call, simulate, reported)
            return
        again = call.arguments.get("request_id") is not None
        simulate = expectations.simulate_claim(
            call, holder_of(self.history, call), token or UNKNOWN, reported, again=again
        )
        begun = min(one.begun for one in self.repeats(call))
        yield Effect(number, call, simulate, reported, begun, call.until)

    def _create(self, call: Call) -> Iterator[Effect]:
        group = [one for one in self.repeats(call) if not one.lost and not one.refused]
        if call.lost or group[:1] != [call] or call.answer is None:
            return  # its ids are unknown, or the first of these calls reported them
        begun = min(one.begun for one in self.repeats(call))
        new = new_ids(call)
        for number in call.answer.get("ids", []):
            yield Effect(number, call, expectations.simulate_read, {}, begun, call.until, creates=number in new)

    def _simulation(self, call: Call, feature: int) -> Simulate | None:
        limits = self.history.limits
        if call.tool == "feature_clear_in_progress" and call.arguments.get("force"):
            return expectations.simulate_force(call, limits)
        if call.tool in TRANSITIONS:
            return expectations.simulate_transition(TRANSITIONS[call.tool], self._meant(call, feature), call, limits)
        if call.tool == "feature_answer_human_input":
            answered_a_question = "question_id" in (call.answer or {}) and not call.refused
            return expectations.simulate_read if answered_a_question else expectations.simulate_change(model.answer)
        return simulate_planned(call)

    def _meant(self, call: Call, feature: int) -> tuple[str | None, ...]:
        """Return the possible tokens of a call: the given token, or the tokens that its server may remember."""
        given = call.arguments.get("claim_token")
        if given is not None:
            return (given,)
        mine = [token for begun, token in self.issued[call.client, feature] if begun < call.until]
        adopted = self.history.connection(call.client).claim
        mine += [adopted] if adopted is not None and adopted not in mine else []
        lost = any(one.client == call.client and one.begun < call.until for one in self.lost_claims)
        return (None, *mine, UNKNOWN) if lost else (None, *mine)

    def _effect(self, feature: int, call: Call, simulate: Simulate, reported: Report) -> Effect:
        return Effect(feature, call, simulate, reported, call.begun, self.history.over_by(call))


def reported_by(call: Call) -> Report:
    """Return what an answer reports about the call's feature, or None if the answer was lost."""
    if call.lost or call.answer is None:
        return None
    if call.refused:
        return {"code": call.answer["code"]}
    if call.tool == "feature_claim_and_get":
        feature = call.answer.get("feature", {})
        is_said = "attempts" in feature or not call.answer.get("brief")  # a brief answer says only what is new
        return {"status": Status.IN_PROGRESS.value} | ({"attempts": feature.get("attempts", 1)} if is_said else {})
    reported = {"status": call.answer["status"]} if "status" in call.answer else {}
    if call.tool == "feature_get_by_id" and reported:
        return reported | {name: call.answer.get(name, 0) for name in COUNTED.values()}
    counter = "skips" if is_moved(call) else COUNTED.get(TRANSITIONS.get(call.tool, Kind.NOTE))
    return reported | ({counter: call.answer.get(counter, 0)} if counter else {})


def reads_in(answer: dict[str, Any], tool: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the other features whose status an answer reports, by number."""
    rows = [*answer.get("features", []), *answer.get("nodes", []), *answer.get("dependencies", [])]
    work = answer.get("feature")
    rows += work.get("dependencies", []) if isinstance(work, dict) else []
    for row in rows:
        if tool == "feature_get_for_regression":
            yield row["id"], {"status": Status.PASSING.value}
        elif "status" in row:
            yield row["id"], {"status": row["status"]}
