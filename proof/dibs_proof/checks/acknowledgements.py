"""What a recorded history says that its clients were told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dibs_proof.checks.observations import Acknowledged
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import claimed_by, holder_of, token_of
from dibs_schema.status import Kind, Status

ENDING = {
    "feature_mark_passing": Kind.PASS,
    "feature_mark_failing": Kind.FAIL,
    "feature_skip": Kind.SKIP,
    "feature_request_human_input": Kind.ASK,
    "feature_clear_in_progress": Kind.RELEASE,
}
"""The tools that end a claim, with what the journal calls it."""
NOTING = {"feature_add_note": Kind.NOTE, "feature_heartbeat": Kind.HEARTBEAT}
"""The tools that leave a note; a heartbeat without one leaves no event."""
SAID = {
    Kind.FAIL: "reason",
    Kind.SKIP: "reason",
    Kind.ASK: "prompt",
    Kind.NOTE: "text",
    Kind.HEARTBEAT: "note",
}
"""The argument that is kept in the event, word for word."""

Told = Iterator[Acknowledged]


def acknowledged(history: History, names: Mapping[str, str]) -> Told:
    """Every move of a claim, and every note, of which a client was told that it is done.

    `names` has what each client is called in the journal, as far as that is known. A repeated move, which is
    acknowledged again, counts once, and may have been done by any of the calls that repeat each other.
    """
    calls = sorted(history.calls, key=lambda one: one.begun)
    yield from _claims(history, calls, names)
    yield from _ends(history, calls, names)
    for call in calls:
        if call.tool in NOTING and call.answer is not None and not call.refused and not call.lost:
            kind, by = NOTING[call.tool], _name(history, call, names)
            said = call.arguments.get(SAID[kind])
            if said is not None:
                yield Acknowledged(
                    kind,
                    call.answer["id"],
                    by,
                    call.answer["status"],
                    frozenset({said}),
                    call.begun,
                    call.until,
                )


def _name(history: History, call: Call, names: Mapping[str, str]) -> str:
    holder = holder_of(history, call)
    return names.get(call.client, "") if holder == call.client else holder


def _claims(history: History, calls: list[Call], names: Mapping[str, str]) -> Told:
    """Each token that was given counts once; a request_id may have been served when it was first sent."""
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
        feature, key = claimed_by(call), (holder_of(history, call), str(call.arguments.get("request_id")))
        assert feature is not None, "a call with a token has claimed"
        kind = Kind.RESUME if call.arguments.get("resume") else Kind.CLAIM
        by, begun = _name(history, call, names), first.get(key, call.begun)
        yield Acknowledged(kind, feature, by, Status.IN_PROGRESS, begun=begun, ended=call.until)


def _ends(history: History, calls: list[Call], names: Mapping[str, str]) -> Told:
    """Each token is ended once; the claim's holder has done it, whoever says so.

    A passing feature is reported broken by whoever does so, with a token that has ended or without.
    """
    given: dict[tuple[str, int], str] = {}
    holders: dict[str, str] = {}
    tries: dict[tuple[str, str], list[Call]] = defaultdict(list)
    live: set[str] = set()
    for call in calls:
        feature, token = claimed_by(call), token_of(call)
        if feature is not None and token is not None:
            given[call.client, feature] = token
            if token not in holders:  # else a request_id has brought it once more, and it may have ended
                holders[token] = _name(history, call, names)
                live.add(token)
        elif call.tool in ENDING:
            known = given.get((call.client, call.arguments["feature_id"]), "")
            token = call.arguments.get("claim_token", known)
            same = tries[call.tool, token]
            same.append(call)
            if call.refused or call.answer is None:
                continue
            if token in live:
                ended = _ended(call, same, holders[token])
                if ended.kind is Kind.REGRESS:
                    reporter, *others = {_name(history, one, names) for one in same}
                    ended = replace(ended, agent="" if others else reporter)
                yield ended
            live.discard(token)


def _ended(call: Call, same: list[Call], by: str) -> Acknowledged:
    """The move of which the call was told; any of the same calls may have made it."""
    assert call.answer is not None, "it was acknowledged"
    kind = ENDING[call.tool]
    if kind is Kind.FAIL and not call.answer.get("failures"):
        kind = Kind.REGRESS  # of what a lost call with this token had passed
    if kind is Kind.RELEASE:
        words = {str(call.answer.get("attempts", 0))}
    else:
        words = {said for one in same if (said := _said(one, kind)) is not None}
    begun = min(one.begun for one in same)
    return Acknowledged(
        kind, call.answer["id"], by, call.answer["status"], frozenset(words), begun, call.until
    )


def _said(call: Call, kind: Kind) -> str | None:
    if kind is Kind.PASS:
        return (call.arguments.get("evidence") or {}).get("summary")
    return call.arguments.get(SAID[Kind.FAIL if kind is Kind.REGRESS else kind])
