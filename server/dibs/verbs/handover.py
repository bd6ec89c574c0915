"""What the next worker on a feature is told: its text, what it builds on, and what others learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from dibs.database.prepared import hot
from dibs.database.transaction import Transaction
from dibs.verbs.guards import among
from dibs_schema.answers import Dependency, Failure, HumanAnswer, NoteEntry, Work
from dibs_schema.status import Kind
from dibs_schema.tables import dependencies, events, features

OWN_TEXT = 5_000
"""Characters of description and steps in one answer; the rest comes by cursor."""
FAILURES, FAILURE_TEXT = 3, 300
NOTES, NOTES_TEXT = 10, 1_600
DEPENDENCY_NAME, DEPENDENCY_EVIDENCE = 60, 60

_FAILED = (Kind.FAIL, Kind.REGRESS, Kind.EXPIRE, Kind.SKIP)
_NOTED = (Kind.NOTE, Kind.HEARTBEAT)

_D, _F, _E = dependencies.c, features.c, events.c

_builds_on = hot(
    select(_F.id, _F.name, _F.status, _F.evidence)
    .join(dependencies, (_D.project_id == _F.project_id) & (_D.dependency_id == _F.id))
    .where(_D.project_id == bindparam("project"), _D.feature_id == bindparam("feature"))
    .order_by(_D.dependency_id)
)

_learned = hot(
    select(_E.at, _E.agent, _E.kind, _E.detail)
    .where(
        _E.project_id == bindparam("project"),
        _E.feature_id == bindparam("feature"),
        among(_E.kind, (*_FAILED, *_NOTED)),
    )
    .order_by(_E.id.desc())
    .limit(50)
)


def work_of(tx: Transaction, row: Mapping[Any, Any]) -> Work:
    """A feature's row with its hand-over: at most OWN_TEXT + 4,000 characters + 600 of the rest."""
    description, steps, cursor = cut_text(row["description"], row["steps"], None)
    learned = tx.all(_learned, feature=row["id"])
    return Work(
        id=row["id"],
        name=row["name"],
        category=row["category"],
        description=description or "",
        steps=steps,
        next_cursor=cursor,
        reference=row["reference"],
        attempts=row["attempts"] if row["attempts"] > 1 else 0,
        dependencies=builds_on(tx, row["id"]),
        failures=_failures(learned),
        notes=_notes(learned, tx.now),
        human_answer=answer_of(row["human_answer"]),
    )


def builds_on(tx: Transaction, feature: int) -> list[Dependency]:
    """The dependencies, each with one line of its evidence."""
    return [
        Dependency(
            id=row["id"],
            name=brief(row["name"], DEPENDENCY_NAME),
            status=row["status"],
            evidence=brief((row["evidence"] or {}).get("summary"), DEPENDENCY_EVIDENCE),
        )
        for row in tx.all(_builds_on, feature=feature)
    ]


def answer_of(stored: dict[str, Any] | None) -> HumanAnswer | None:
    """What a person answered, cut to what fits a claim."""
    if stored is None:
        return None
    answers = {
        name: brief(value, 400) if isinstance(value, str) else value
        for name, value in stored["answers"].items()
    }
    return HumanAnswer(answers=answers, answered_by=stored["by"], prompt=brief(stored.get("prompt"), 200))


def _failures(learned: Any) -> list[Failure]:
    failed = [row for row in learned if row["kind"] in _FAILED][:FAILURES]
    return [
        Failure(
            reason=brief((row["detail"] or {}).get("reason"), FAILURE_TEXT) or "",
            agent=row["agent"],
            at=row["at"],
        )
        for row in failed
    ]


def _notes(learned: Any, now: float) -> list[NoteEntry]:
    """The newest notes, oldest first, as many as fit."""
    notes: list[NoteEntry] = []
    room = NOTES_TEXT
    for row in [row for row in learned if row["kind"] in _NOTED][:NOTES]:
        words = brief((row["detail"] or {}).get("note"), max(room, 40)) or ""
        room -= len(words)
        notes.append(NoteEntry(text=words, agent=row["agent"], age_seconds=max(0, int(now - row["at"]))))
        if room <= 0:
            break
    return notes[::-1]


def brief(words: str | None, most: int) -> str | None:
    """The first line of a text, cut at `most` characters, or None."""
    if not words:
        return None
    line = words if len(words) <= most else words[: most - 1] + "…"
    return line if most > DEPENDENCY_NAME else line.partition("\n")[0]


def cut_text(
    description: str, steps: list[str], cursor: str | None, room: int = OWN_TEXT
) -> tuple[str | None, list[str], str | None]:
    """A part of a feature's own text that takes at most `room` characters as JSON, and where the rest begins.

    A cursor is `step:offset`, with step -1 for the description.
    """
    parts = [description, *steps]
    at, offset = (int(number) for number in cursor.split(":")) if cursor else (-1, 0)
    shown: list[str] = []
    index = at + 1
    while index < len(parts):
        piece = _fitting(parts[index][offset:], room)
        shown.append(piece)
        room -= _length(piece)
        offset += len(piece)
        if offset < len(parts[index]):
            break
        index, offset = index + 1, 0
        if room <= 0:
            break
    following = f"{index - 1}:{offset}" if index < len(parts) else None
    if at == -1:
        return shown[0], shown[1:], following
    return None, shown, following


def _fitting(words: str, room: int) -> str:
    most = max(room, 1)
    piece = words[:most]
    while len(piece) > 1 and _length(piece) > most:
        piece = piece[: max(1, len(piece) * most // _length(piece) - 1)]
    return piece


def _length(words: str) -> int:
    return len(json.dumps(words, ensure_ascii=False))
