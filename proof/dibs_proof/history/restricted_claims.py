"""Checks the servers that may claim some features only: those started for one claim, and those of testers."""

from __future__ import annotations

from collections.abc import Iterator

from dibs_proof.history.expectations import has_already_claimed
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CLAIMS, claimed_feature, holder_of, is_claim, token_of
from dibs_proof.history.violations import Violation

REPORT = "feature_mark_failing"


def check(history: History) -> Iterator[Violation]:
    """Yield a violation for each claim that its server may not make, and for each that was refused although it may."""
    for call in history.calls:
        server, token = history.connection(call.client), token_of(call)
        if server.claim is not None:
            if token not in (None, server.claim):
                message = f"a server that was started for one claim returned another, {token}"
                yield Violation("adopted_other", claimed_feature(call), message, (call,))
        elif server.role == "tester" and call.tool in CLAIMS:
            yield from _reported(history, call)
        if call.code == "forbidden" and not (is_claim(call) and (server.claim or server.role)):
            message = f"{call.tool} was forbidden to a server that may use it on every feature"
            yield Violation("forbidden", call.arguments.get("feature_id"), message, (call,))


def _reported(history: History, claim: Call) -> Iterator[Violation]:
    """Yield a violation if a tester got what it never reported, or was refused what it was the last to report."""
    feature = claimed_feature(claim) or claim.arguments.get("feature_id")
    reports = [
        call
        for call in history.calls
        if call.tool == REPORT and call.arguments["feature_id"] == feature and not (call.refused and not call.lost)
    ]
    own = [call for call in reports if holder_of(history, call) == holder_of(history, claim)]
    if token_of(claim) is not None and not has_already_claimed(claim):
        if not any(call.begun <= claim.until for call in own):
            message = f"a tester claimed feature {feature}, which it has not reported"
            yield Violation("unreported", feature, message, (claim,))
    elif claim.code == "forbidden":
        last = next((call for call in reversed(own) if call.until < claim.begun and _is_report(call)), None)
        if last is not None and all(one in own or one.until < last.begun or one.begun > claim.until for one in reports):
            message = f"a tester was refused the claim of feature {feature}, although it was the last to report it"
            yield Violation("forbidden", feature, message, (last, claim))


def _is_report(call: Call) -> bool:
    """Return whether an acknowledged call certainly reported a broken feature, and ended no attempt."""
    return not call.lost and "failures" not in (call.answer or {})
