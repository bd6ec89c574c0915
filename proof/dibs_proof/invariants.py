"""The invariants of a backlog. Each check is one function that compares the events with what clients saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dibs.queries.audit import Audit
from dibs_proof.holding import Holding
from dibs_proof.read_database import Event
from dibs_schema.file_areas import areas_of
from dibs_schema.status import SATISFIED, Kind, Status

ENDS = (Kind.PASS, Kind.FAIL, Kind.SKIP, Kind.ASK, Kind.RELEASE, Kind.EXPIRE)
"""The kinds of event that end a claim."""


@dataclass(slots=True)
class Finding:
    """The result of one check: the number of `checked` cases, and a line for each `broken` case."""

    name: str
    claim: str
    checked: int = 0
    unit: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Return whether no case is broken."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class ClaimPeriod:
    """One claim of a feature under one token, from its events; `ended` is None while it is held."""

    begun: Event
    ended: Event | None = None

    def __str__(self) -> str:
        return f"{self.begun.agent}'s claim of feature {self.begun.feature} (event {self.begun.id})"


def claim_periods(events: Iterable[Event]) -> Iterator[ClaimPeriod]:
    """Yield every claim in the order in which they ended; claims that are still held come last."""
    live: dict[int, ClaimPeriod] = {}
    for event in events:
        before = live.get(event.feature)
        if before is not None and (event.kind == Kind.RESUME or _ends_a_claim(event)):
            yield replace(before, ended=event)
            del live[event.feature]
        if _begins_a_claim(event) or event.kind == Kind.RESUME:
            live[event.feature] = ClaimPeriod(event)
    yield from live.values()


def _begins_a_claim(event: Event) -> bool:
    return event.target == Status.IN_PROGRESS and event.source == Status.PENDING


def _ends_a_claim(event: Event) -> bool:
    return event.kind in ENDS and event.source == Status.IN_PROGRESS  # a pending feature is skipped without a claim


def one_holder_in_the_events(events: Iterable[Event]) -> Finding:
    """Replay the events, and check that claims and ends of claims strictly alternate for each feature."""
    found = Finding("one_holder", "No feature had two holders at once", unit="claims replayed")
    holder: dict[int, str] = {}
    for event in events:
        if _begins_a_claim(event):
            found.checked += 1
            if event.feature in holder:
                found.broken.append(
                    f"event {event.id}: {event.agent} claims feature {event.feature}, "
                    f"which {holder[event.feature]} holds"
                )
            holder[event.feature] = event.agent
        elif _ends_a_claim(event) and holder.pop(event.feature, None) is None:
            found.broken.append(f"event {event.id}: {event.kind} of feature {event.feature}, which has no holder")
    return found


def events_are_unbroken(events: Iterable[Event]) -> Finding:
    """Replay the events, and check that each event starts from the status in which the previous one left the feature."""
    found = Finding("unbroken", "The events of each feature have no gap", unit="events replayed")
    status: dict[int, str | None] = {}
    for event in events:
        found.checked += 1
        if event.source != status.get(event.feature):
            found.broken.append(
                f"event {event.id}: {event.kind} of feature {event.feature} starts from {event.source}, "
                f"but the feature was {status.get(event.feature)}"
            )
        status[event.feature] = event.target
    return found


def one_holder_among_the_clients(holdings: Iterable[Holding]) -> Finding:
    """Check that no two clients certainly held the same feature at the same time, and no token was given out twice."""
    found = Finding(
        "one_holder_among_clients", "No two clients were ever given the same feature", unit="tokens compared"
    )
    tokens: set[str] = set()
    last: dict[int, Holding] = {}
    for one in sorted(holdings, key=lambda holding: holding.given_at):
        found.checked += 1
        if one.token in tokens:
            found.broken.append(f"the token of {one.agent} on feature {one.feature} was given out before")
        tokens.add(one.token)
        before = last.get(one.feature)
        if before is not None and (before.until is None or one.given_at < before.until):
            found.broken.append(f"{one.agent} got feature {one.feature} while {before.agent} held it")
        if before is None or before.until is None or one.until is None or one.until > before.until:
            last[one.feature] = one
    return found


def dependencies_respected(events: Iterable[Event]) -> Finding:
    """Replay the events, and check that every dependency of a claimed feature was passing or archived."""
    found = Finding("dependencies", "Nothing was claimed before its dependencies", unit="dependencies looked up")
    status: dict[int, str | None] = {}
    needs: dict[int, set[int]] = {}
    for event in events:
        status[event.feature] = event.target
        needed_now = needs[event.feature] = (needs.get(event.feature, set()) | {*event.added}) - {*event.removed}
        if event.kind != Kind.CLAIM:
            continue
        for needed in sorted(needed_now):
            found.checked += 1
            if status.get(needed) not in SATISFIED:
                found.broken.append(
                    f"event {event.id}: {event.agent} claims feature {event.feature}, "
                    f"which depends on {needed}, and that is {status.get(needed)}"
                )
    return found


def areas_respected(events: Iterable[Event], paths: Mapping[int, Iterable[str]]) -> Finding:
    """Replay the events, and check that no agent claimed a feature on files of a claimed one. `paths` never changed."""
    found = Finding("areas", "No two features on the same files were held at once", unit="pairs compared")
    areas = {feature: areas_of(globs) for feature, globs in paths.items()}
    held: dict[int, str] = {}
    for event in events:
        if _begins_a_claim(event):
            # A claim that is regained in order to end it may overlap others for that moment.
            for other, holder in held.items() if event.feature in areas and event.kind == Kind.CLAIM else ():
                found.checked += 1
                if any(one.meets(two) for one in areas[event.feature] for two in areas[other]):
                    found.broken.append(
                        f"event {event.id}: {event.agent} claims feature {event.feature}, which may change the same "
                        f"files as feature {other}, and {holder} holds that"
                    )
            if event.feature in areas:
                held[event.feature] = event.agent
        elif _ends_a_claim(event):
            held.pop(event.feature, None)
    return found


def sound(audit: Audit) -> Finding:
    """Check that every value derived from dependencies, paths or events equals what the audit recomputes."""
    found = Finding("audit", "Every stored value equals what the audit recomputes", audit.features, "features audited")
    found.broken += audit.unsound
    return found
