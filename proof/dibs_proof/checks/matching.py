"""Each acknowledged move is tied to an event of its own, which nothing else can stand in for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from dibs_proof.checks.invariants import Finding
from dibs_proof.checks.journal import Event
from dibs_proof.checks.observations import Acknowledged, Seen
from dibs_schema.status import Kind

MAY_BE = {Kind.RESUME: (Kind.RESUME, Kind.CLAIM)}
"""Who asks to resume and holds nothing claims anew; what such a call was told fits both."""
Key = tuple[str, int, str | None]


def each_has_its_event(
    told: Iterable[Acknowledged], journal: Iterable[Event], seen: Callable[[int], Seen]
) -> Finding:
    """Every acknowledged move has an event of its own.

    It is of the same kind, feature, agent and resulting status, has the words that only this call said, and was
    committed while the call was open: the event of another call, answered or not, is not enough.
    """
    kept: dict[Key, list[Event]] = defaultdict(list)
    for event in journal:
        kept[event.kind, event.feature, event.target].append(event)
    found = Finding("nothing_lost", "Every acknowledged change is in the journal", unit="acknowledgements")
    owners: dict[int, Acknowledged] = {}

    def tie(one: Acknowledged, asked: set[int]) -> bool:
        """Give it an event, which another may hand over that finds another one; `asked` are those not to ask again."""
        for kind in MAY_BE.get(one.kind, (one.kind,)):
            for event in _fitting(one, kept[kind, one.feature, one.status], seen):
                if event.id not in asked:
                    asked.add(event.id)
                    if event.id not in owners or tie(owners[event.id], asked):
                        owners[event.id] = one
                        return True
        return False

    for one in sorted(
        told, key=lambda one: one.ended
    ):  # who must have been done first comes first: few are moved
        found.checked += 1
        if not tie(one, set()):
            by, words = one.agent or "somebody", f": {', '.join(sorted(one.words))}" if one.words else ""
            found.broken.append(
                f"{by} was told that its {one.kind.value} of feature {one.feature} ({one.status}) is done{words}"
            )
    return found


def _fitting(one: Acknowledged, events: Iterable[Event], seen: Callable[[int], Seen]) -> Iterator[Event]:
    for event in events:
        when = seen(event.id)
        if (
            one.agent in ("", event.agent)
            and (not one.words or event.words in one.words)
            and when.low <= one.ended
            and when.high >= one.begun
        ):
            yield event
