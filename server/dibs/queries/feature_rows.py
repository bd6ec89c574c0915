"""One feature in a list, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import FARTHEST_BACK_OFF, F, among, in_project, is_
from dibs.rules.dependencies import SHOWN_BLOCKERS
from dibs.rules.file_areas import holders_of
from dibs.rules.questions import waited_for_by, words
from dibs.rules.truncate import json_bytes, truncate
from dibs_schema.answers import FeatureRow
from dibs_schema.status import SATISFIED, Status
from dibs_schema.tables import dependencies, features

COLUMNS = (F.id, F.status, F.category, F.name, F.priority, F.claimed_by, F.not_before, F.skips, F.height)
"""The short columns, which a row of a list needs."""
SHOWN_CATEGORY, SHOWN_AGENT = 23, 20
ROW = 160
"""Bytes of a row without its name."""
BACKS_OFF = "in back-off"
LEAST_ASKED = 14
"""Bytes for the question to a person, in a row without more room."""
LONGEST_NAME = 2_000

_D = dependencies.c
_unmet = (
    select(_D.feature_id, _D.dependency_id)
    .join(features, (F.project_id == _D.project_id) & (F.id == _D.dependency_id))
    .where(in_project(dependencies), _D.feature_id.in_(bindparam("ids", expanding=True)), ~among(F.status, SATISFIED))
    .order_by(_D.feature_id, _D.dependency_id)
)
_requests = select(F.id, F.human_request).where(
    in_project(), F.id.in_(bindparam("ids", expanding=True)), is_(Status.NEEDS_HUMAN)
)


def row_of(row: Row, now: float, name: int = LONGEST_NAME) -> FeatureRow:
    """Return a row of at most 160 bytes and a name of at most `name` bytes."""
    back_off = _back_off(row, now)
    return FeatureRow(
        id=row["id"],
        status=row["status"],
        category=truncate(row["category"], SHOWN_CATEGORY) or "",
        name=truncate(row["name"], name) or "",
        priority=row["priority"],
        agent=truncate(row["claimed_by"], SHOWN_AGENT),
        ready_at=back_off,
        why=BACKS_OFF if back_off is not None else None,
    )


def _back_off(row: Row, now: float) -> float | None:
    until: float | None = row["not_before"]
    backs_off = row["status"] == Status.PENDING and until is not None and now < until <= now + FARTHEST_BACK_OFF
    return until if backs_off else None


@dataclass(frozen=True, slots=True)
class Waits:
    """What some features wait for: unmet dependencies, the claims on their files, and a person's answers.

    `questions` are the first open ones of `ask_user`, and `requests` what was asked about the features themselves.
    """

    blockers: Mapping[int, list[int]]
    holders: Mapping[int, Row]
    questions: Mapping[int, Row]
    requests: Mapping[int, str]

    @classmethod
    def of(cls, tx: Transaction, rows: Sequence[Row]) -> Self:
        """Read what the features of these rows wait for."""
        pending = [row["id"] for row in rows if row["status"] == Status.PENDING]
        asking = [row["id"] for row in rows if row["status"] == Status.NEEDS_HUMAN]
        blockers: dict[int, list[int]] = {}
        for edge in tx.all(_unmet, ids=pending) if pending else ():
            blockers.setdefault(edge["feature_id"], []).append(edge["dependency_id"])
        questions = waited_for_by(tx, pending) if pending else {}
        backing_off = {row["id"] for row in rows if _back_off(row, tx.now) is not None}
        free = [one for one in pending if one not in blockers.keys() | questions.keys() | backing_off]
        requests = tx.all(_requests, ids=asking) if asking else ()
        prompts = {row["id"]: row["human_request"]["prompt"] for row in requests}
        return cls(blockers, holders_of(tx, free), questions, prompts)

    def row_of(self, row: Row, now: float, name: int = LONGEST_NAME) -> FeatureRow:
        """Return a row with what its feature waits for. With a question there is room for one dependency."""
        one = row_of(row, now, name)
        if (holder := self.holders.get(one.id)) is not None:
            one = one.model_copy(
                update={"held_by": holder["id"], "agent": truncate(holder["claimed_by"], SHOWN_AGENT)},
            )
        asked, most = self.requests.get(one.id), SHOWN_BLOCKERS
        if (question := self.questions.get(one.id)) is not None:
            asked, most = f"question {question['id']}: {words(question['questions'])}", 1
        if blockers := self.blockers.get(one.id, []):
            more = max(0, len(blockers) - most)
            blocked = {"blocked_by": blockers[:most], "more_blocked_by": more, "ready_at": None, "why": None}
            one = one.model_copy(update=blocked)
        if asked is None:
            return one
        return one.model_copy(update={"why": truncate(asked, max(LEAST_ASKED, room_in(one, {"why": ""})))})


def room_in(row: FeatureRow, frame: Mapping[str, Any]) -> int:
    """Return how many bytes a row has left, without its name and the empty members of `frame`."""
    return ROW - (json_bytes(row.wire()) - json_bytes(row.name)) - json_bytes(frame)
