"""What was asked again with the same request_id, since no answer had come, was done once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from dibs_proof.checks.invariants import Finding
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CREATES


def done_once(history: History, names: Mapping[int, str]) -> Finding:
    """Each creation under a request_id made its features once, whose names no other call gives; so say its answers."""
    found = Finding("once", "What was asked twice was done once", unit="requests")
    there = Counter(names.values())
    asked: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        if call.tool in CREATES and "request_id" in call.arguments:
            asked[call.arguments["request_id"]].append(call)
    for key, calls in asked.items():
        found.checked += 1
        answers = {
            tuple((call.answer or {}).get("ids", ())) for call in calls if not call.lost and not call.refused
        }
        made = {there[name] for name in _named(calls[0])}
        if len(answers) > 1:
            found.broken.append(
                f"request_id {key}: asked {len(calls)} times, and answered in {len(answers)} ways"
            )
        if made not in ({1}, {0}) or (answers and made == {0}):
            found.broken.append(f"request_id {key}: asked {len(calls)} times, and made {sorted(made)} times")
    return found


def _named(call: Call) -> Iterator[str]:
    for one in call.arguments.get("features", [call.arguments]):
        yield one["name"]
