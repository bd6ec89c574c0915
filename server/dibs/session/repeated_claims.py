"""Answers to a repeated claim: only what is new, if the agent has received the rest a few minutes ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dibs_schema.answers import Answer, Claimed, NoteEntry, Work
from dibs_schema.next_step import Step

REMEMBERED_FOR = 300.0
"""Seconds after which an agent receives a claimed feature whole again: its context may have been compacted since."""


@dataclass(frozen=True, slots=True)
class _Received:
    whole_at: float
    feature: Work


class RepeatedClaims:
    """Remembers, for one connection, the claimed features that each holder has received whole lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._received: dict[tuple[str, int], _Received] = {}

    def answer(self, holder: str, claimed: Claimed, *, repeated: bool) -> Claimed:
        """Return the answer to a claim, with only what is new if the claim is `repeated` and the holder has the rest."""
        now, feature = self._clock(), claimed.feature
        self._received = {key: one for key, one in self._received.items() if now - one.whole_at <= REMEMBERED_FOR}
        received = self._received.get((holder, feature.id)) if repeated else None
        new = None if received is None else news(received.feature, feature)
        if received is None or new is None:
            self._received[holder, feature.id] = _Received(now, feature)
            return claimed
        self._received[holder, feature.id] = _Received(received.whole_at, feature)
        hint = f"The rest of the feature is as you received it {int(now - received.whole_at)} s ago."
        read = Step("feature_get_by_id", {"feature_id": feature.id}, "to read it again")
        return claimed.model_copy(update={"brief": True, "feature": new, "hint": hint, "next": (read,)})


def news(before: Work, now: Work) -> Work | None:
    """Return what is new in a feature, or None if its own text has changed or anything has been taken away."""
    old, new = before.model_dump(exclude_defaults=True), now.model_dump(exclude_defaults=True)
    removed = {one.id for one in before.dependencies} - {one.id for one in now.dependencies}
    if before.digest != now.digest or removed or old.keys() - new.keys():
        return None
    added = {name: _added(getattr(before, name), getattr(now, name)) for name in new if old.get(name) != new[name]}
    written = now.more_notes + len(now.notes) - before.more_notes - len(before.notes)
    added["more_notes"] = max(0, written - len(added.get("notes", ())))
    return Work(id=now.id, name=now.name, category=now.category).model_copy(update=added)


def _added(before: Any, now: Any) -> Any:
    """Return the entries of a list that are new, or any other value as it is."""
    if not isinstance(now, list):
        return now
    known = [_content(one) for one in before]
    return [one for one in now if _content(one) not in known]


def _content(entry: Answer) -> dict[str, Any]:
    """Return an entry without its age, which is different in each answer."""
    return entry.model_dump(exclude={"age_seconds"} if isinstance(entry, NoteEntry) else None)
