"""The acknowledgements in recorded histories, and the check that each has its own event."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from dibs.verbs.release import UNCLAIMED
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import claimed_feature, holder_of, is_claim, token_of
from dibs_proof.invariants import Finding
from dibs_proof.read_database import Event
from dibs_proof.storm.event_watcher import Seen
from dibs_schema.status import Kind, Status

ENDING = {
    "feature_mark_passing": Kind.PASS,
    "feature_mark_failing": Kind.FAIL,
    "feature_skip": Kind.SKIP,
    "feature_request_human_input": Kind.ASK,
    "feature_clear_in_progress": Kind.RELEASE,
}
"""The tools that end a claim, with the kinds of their events."""
WRITING = {
    "feature_add_note": Kind.NOTE,
    "feature_heartbeat": Kind.HEARTBEAT,
    "feature_return": Kind.RETURN,
    "feature_reject": Kind.REJECT,
}
"""The tools whose event has their own text, and no claim's end; a heartbeat without a note leaves no event."""
TEXTS = {
    Kind.FAIL: "reason",
    Kind.SKIP: "reason",
    Kind.ASK: "prompt",
    Kind.NOTE: "text",
    Kind.HEARTBEAT: "note",
    Kind.RETURN: "feedback",
    Kind.REJECT: "reason",
}
"""The argument that the event stores unchanged."""
MAY_BE = {Kind.RESUME: (Kind.RESUME, Kind.CLAIM)}
"""A resume by an agent that has no claim is a claim; the answer does not say which."""
Key = tuple[str, int, str | None]
Transitions = Counter[tuple[str, int, str, str | None]]
"""How often a transition was made: its kind, feature, agent and resulting status."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A transition that a server acknowledged: of which feature, by whom, and to which status.

    It was made while the call was open, from `begun` to `ended`. Its event has one of the `texts`, if there are any.
    An empty `agent` is unknown.
    """

    kind: Kind
    feature: int
    agent: str
    status: str
    texts: frozenset[str] = frozenset()
    begun: float = -math.inf
    ended: float = math.inf


def acknowledged(history: History, names: Mapping[str, str]) -> Iterator[Acknowledged]:
    """Yield every transition of a claim, every note and every undone pass that a server acknowledged.

    `names` maps each client to its agent's name in the events, if that is known. A repeated call, which is acknowledged
    again, counts once, and any of the equal calls may have made the transition.
    """
    calls = sorted(history.calls, key=lambda one: one.begun)
    regained = _regained(history, calls)
    yield from _claims(history, calls, names)
    for one, client in _ends(history, calls, names):
        # The end of the first client's connection may have made the release that another client's call acknowledges.
        early = one.kind is Kind.RELEASE and (client, one.feature) in regained
        yield replace(one, begun=-math.inf) if early else one
    for call in calls:
        if call.tool in WRITING and call.answer is not None and not call.refused and not call.lost:
            kind = WRITING[call.tool]
            by = "" if (call.client, call.answer["id"]) in regained else _name(history, call, names)
            text = call.arguments.get(TEXTS[kind])
            if text is not None:
                yield Acknowledged(
                    kind, call.answer["id"], by, call.answer["status"], frozenset({text}), call.begun, call.until
                )


def _regained(history: History, calls: list[Call]) -> set[tuple[str, int]]:
    """Return the clients, each with a feature, that sent or adopted a token of another client, and so may have its claim."""
    issued = {token: call for call in calls if (token := token_of(call)) is not None}
    sent = {
        (call.client, call.arguments["feature_id"])
        for call in calls
        if issued.get(call.arguments.get("claim_token", ""), call).client != call.client
    }
    return sent | {
        (one.client, feature)
        for one in history.connections.values()
        if one.claim in issued and (feature := claimed_feature(issued[one.claim])) is not None
    }


def _name(history: History, call: Call, names: Mapping[str, str]) -> str:
    holder = holder_of(history, call)
    return names.get(call.client, "") if holder == call.client else holder


def _claims(history: History, calls: list[Call], names: Mapping[str, str]) -> Iterator[Acknowledged]:
    """Yield each token once, from the moment when its request_id was first sent."""
    first: dict[tuple[str, str], float] = {}
    given: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        key = call.arguments.get("request_id")
        if key is not None:
            first.setdefault((holder_of(history, call), str(key)), call.begun)
        if (token := token_of(call)) is not None:
            given[token].append(call)
    for tokens in given.values():
        call = min(tokens, key=lambda one: one.until)
        feature, key = (claimed_feature(call), (holder_of(history, call), str(call.arguments.get("request_id"))))
        assert feature is not None, "a call with a token has claimed"
        kind = Kind.RESUME if call.arguments.get("resume") else Kind.CLAIM
        by, begun = _name(history, call, names), first.get(key, call.begun)
        yield Acknowledged(kind, feature, by, Status.IN_PROGRESS, begun=begun, ended=call.until)
        if call.arguments.get("keep"):
            why = frozenset({call.arguments["reason"]})
            yield Acknowledged(Kind.REGRESS, feature, by, Status.PENDING, why, begun, call.until)


def _ends(history: History, calls: list[Call], names: Mapping[str, str]) -> Iterator[tuple[Acknowledged, str]]:
    """Yield the end of each token once, and the client that it was acknowledged to.

    The event names the claim's holder, whichever client sent the token; that of a regression names the reporter.
    """
    given: dict[tuple[str, int], str] = {}
    holders: dict[str, str] = {}
    attempts: dict[tuple[str, str], list[Call]] = defaultdict(list)
    live: set[str] = set()
    for call in calls:
        feature, token = claimed_feature(call), token_of(call)
        if feature is not None and token is not None:
            given[call.client, feature] = token
            if token not in holders:  # otherwise a repeated request_id returned it again, and its claim may have ended
                holders[token] = _name(history, call, names)
                live.add(token)
        elif call.tool in ENDING and not is_claim(call):
            known = given.get((call.client, call.arguments["feature_id"]), "")
            token = call.arguments.get("claim_token", known)
            same = attempts[call.tool, token]
            same.append(call)
            if call.refused or call.answer is None or str(call.answer.get("hint")).startswith(UNCLAIMED):
                continue
            if token in live:
                ended = _ended(call, same, holders[token])
                if ended.kind is Kind.REGRESS:
                    reporter, *others = {_name(history, one, names) for one in same}
                    ended = replace(ended, agent="" if others else reporter)
                yield ended, call.client
            live.discard(token)


def _ended(call: Call, same: list[Call], by: str) -> Acknowledged:
    """Return the acknowledged transition; any of the `same` calls may have made it."""
    assert call.answer is not None, "it was acknowledged"
    kind = ENDING[call.tool]
    if kind is Kind.FAIL and not call.answer.get("failures"):
        kind = Kind.REGRESS  # a call with this token whose answer was lost had passed the feature
    if kind is Kind.RELEASE:
        texts = {str(call.answer.get("attempts", 0))}
    else:
        texts = {text for one in same if (text := _text(one, kind)) is not None}
    begun = min(one.begun for one in same)
    return Acknowledged(kind, call.answer["id"], by, call.answer["status"], frozenset(texts), begun, call.until)


def _text(call: Call, kind: Kind) -> str | None:
    if kind is Kind.PASS:
        return (call.arguments.get("evidence") or {}).get("summary")
    return call.arguments.get(TEXTS[Kind.FAIL if kind is Kind.REGRESS else kind])


def nothing_lost(acknowledged: Iterable[Acknowledged], events: Iterable[Event]) -> Finding:
    """Check that each acknowledged transition has its own event: same kind, feature, agent and resulting status."""
    answered: Transitions = Counter((one.kind.value, one.feature, one.agent, one.status) for one in acknowledged)
    recorded: Transitions = Counter((one.kind, one.feature, one.agent, one.target) for one in events)
    found = Finding("nothing_lost", "Every acknowledged change has its event", answered.total(), "acknowledgements")
    for (kind, feature, agent, status), missing in (answered - recorded).items():
        found.broken += [
            f"{agent} got an acknowledgement of its {kind} of feature {feature} ({status}), which has no event"
        ] * missing
    return found


def each_has_its_event(
    acknowledgements: Iterable[Acknowledged], events: Iterable[Event], seen: Callable[[int], Seen]
) -> Finding:
    """Check that each acknowledged transition has its own event.

    The event has the same kind, feature, agent and resulting status, and the text that only this call sent. It was
    committed while the call was open.
    """
    recorded: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        recorded[event.kind, event.feature, event.target].append(event)
    found = Finding("nothing_lost", "Every acknowledged change has its event", unit="acknowledgements")
    owners: dict[int, Acknowledged] = {}

    def assign(one: Acknowledged, visited: set[int]) -> bool:
        """Match an acknowledgement to an event by finding an augmenting path."""
        for kind in MAY_BE.get(one.kind, (one.kind,)):
            for event in _candidates(one, recorded[kind, one.feature, one.status], seen):
                if event.id not in visited:
                    visited.add(event.id)
                    if event.id not in owners or assign(owners[event.id], visited):
                        owners[event.id] = one
                        return True
        return False

    for one in sorted(acknowledgements, key=lambda one: one.ended):  # this order reassigns few events
        found.checked += 1
        if not assign(one, set()):
            by, texts = one.agent or "an agent", f": {', '.join(sorted(one.texts))}" if one.texts else ""
            found.broken.append(
                f"{by} got an acknowledgement of its {one.kind.value} of feature {one.feature} ({one.status}), "
                f"which has no event{texts}"
            )
    return found


def _candidates(one: Acknowledged, events: Iterable[Event], seen: Callable[[int], Seen]) -> Iterator[Event]:
    for event in events:
        when = seen(event.id)
        if (
            one.agent in ("", event.agent)
            and (not one.texts or event.text in one.texts)
            and when.low <= one.ended
            and when.high >= one.begun
        ):
            yield event
