"""The hand-over to the next agent: a feature's text, its dependencies, and what earlier agents learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import among, held, of_feature, this
from dibs.rules.dependencies import blockers
from dibs.rules.feedback import NOT_ACCEPTED, REVIEWED, latest_feedback
from dibs.rules.questions import answers_of, words
from dibs.rules.truncate import cut_text, first_line, fitting, json_bytes, json_length, truncate, truncate_json
from dibs_schema.answers import Answer, Dependency, Failure, Feedback, HumanAnswer, NoteEntry, Work
from dibs_schema.status import SATISFIED, Kind
from dibs_schema.tables import dependencies, events, features

OWN_TEXT = 5_000
"""Characters of description, steps and what the project tells its workers in one answer; a cursor continues them."""
LEAST_OWN_TEXT = 300
INSTRUCTIONS_ROOM = 2_900
"""Characters of JSON, which the longest instructions exceed only if a third of them are quotes, line breaks or the like."""
TOLD_FRAME = 40
"""Bytes of the names of the members with what the project tells its workers."""
HAND_OVER = 3_880
"""Bytes of texts of other agents. Each part may use what the parts before it have left."""
LEARNED = 50
"""The latest events of a feature among which failures, feedback, notes and ends of questions are looked for."""
FAILURES, FAILURE_ROOM = 3, 600
NOTES, NOTES_ROOM = 10, 900
NEW_NOTE_ROOM = 90
ANSWER_ROOM, LEAST_ANSWER_ROOM = 1_100, 250
FEEDBACK_ROOM = 700
"""Feedback takes its room from the room of the answers."""
EVIDENCE_ROOM = 200
NAME_ROOM, REFERENCE_ROOM, AGENT_ROOM = 1_100, 80, 30
DEPENDENCY_FRAME = 62
"""Bytes of a dependency's id and status, and of the names of its members."""

_FAILED = (Kind.FAIL, Kind.REGRESS, Kind.EXPIRE, Kind.SKIP)
NOTED = (Kind.NOTE, Kind.HEARTBEAT)
"""The kinds of events that have a note."""

_D, _F, _E = dependencies.c, features.c, events.c

_builds_on = hot(
    select(_F.id, _F.name, _F.status, _F.evidence)
    .join(dependencies, (_D.project_id == _F.project_id) & (_D.dependency_id == _F.id))
    .where(of_feature(dependencies))
    .order_by(_D.dependency_id)
)

_noted = hot(
    select(_E.at, _E.agent, _E.kind, _E.detail)
    .where(of_feature(events), among(_E.kind, NOTED))
    .order_by(_E.id.desc())
    .limit(bindparam("most"))
)
_count_noted = select(func.count()).where(of_feature(events), among(_E.kind, NOTED))
_new_to_holder = hot(
    select(_E.detail)
    .join(features, (_F.project_id == _E.project_id) & (_F.id == _E.feature_id))
    .where(of_feature(events), among(_E.kind, NOTED), this(), held())
    .where(_E.agent != _F.claimed_by, _E.at > _F.last_activity_at)
    .order_by(_E.id.desc())
    .limit(100)
)

_learned = hot(
    select(_E.at, _E.agent, _E.kind, _E.detail)
    .where(of_feature(events), among(_E.kind, (*_FAILED, *NOTED, *REVIEWED, Kind.MET)))
    .order_by(_E.id.desc())
    .limit(LEARNED)
)


def work_of(
    tx: Transaction,
    row: Mapping[Any, Any],
    *,
    text: int = OWN_TEXT,
    room: int = HAND_OVER,
    name: int = NAME_ROOM,
    instructed: bool = False,
) -> Work:
    """Return a feature with its hand-over: `text` characters of its own text, `room` bytes of other agents' texts.

    The definition of done of its category takes its room from the feature's own text, and so do the project's
    instructions. If the answer has the instructions elsewhere (`instructed`), they are left out.
    """
    project = tx.project.settings
    done_when = truncate(project.done_when_of(row["category"]), text // 2) if project.done_when else None
    instructions = None if instructed else fitting(project.instructions, INSTRUCTIONS_ROOM) or None
    if done_when or instructions:
        text = max(LEAST_OWN_TEXT, text - json_length([done_when, instructions]) - TOLD_FRAME)
        room -= TOLD_FRAME
    paths = paths_in(row, text)
    description, steps, cursor = cut_text(row["description"], row["steps"], None, text - json_length(paths))
    learned = tx.all(_learned, feature=row["id"])
    for_answers = min(ANSWER_ROOM, room // 3)
    feedback = _feedback(tx, row["id"], learned, min(FEEDBACK_ROOM, for_answers))
    said = json_bytes({"feedback": feedback.wire()}) if feedback else 0
    for_answers, room = for_answers - said, room - said
    may_have_waited = len(learned) == LEARNED or any(one["kind"] == Kind.MET for one in learned)
    share = for_answers // 2 if row["human_answer"] else for_answers
    question_answers = question_answers_of(tx, row["id"], share) if may_have_waited else []
    answer = human_answer_of(row["human_answer"], for_answers - _taken(question_answers))
    room -= _taken(question_answers) + (json_bytes(answer.wire()) if answer else 0)
    failures = _failures(learned, min(FAILURE_ROOM, room // 3))
    room -= _taken(failures)
    notes = _notes(learned, tx.now, min(NOTES_ROOM, room // 2))
    room -= _taken(notes)
    noted = sum(row["kind"] in NOTED for row in learned)
    if len(learned) == LEARNED:
        noted = tx.value(_count_noted, feature=row["id"])
    earlier = first_line(evidence_text(row["evidence"]), min(EVIDENCE_ROOM, room // 2))
    room -= json_bytes(earlier) if earlier else 0
    return Work(
        id=row["id"],
        name=truncate(row["name"], name) or "",
        category=truncate(row["category"], 100) or "",
        description=description or "",
        steps=steps,
        next_cursor=cursor,
        done_when=done_when,
        instructions=instructions,
        paths=paths,
        reference=truncate(row["reference"], REFERENCE_ROOM),
        attempts=row["attempts"] if row["attempts"] > 1 else 0,
        recheck_since=row["recheck_since"],
        dependencies=dependencies_of(tx, row["id"], room),
        feedback=feedback,
        failures=failures,
        notes=notes,
        more_notes=noted - len(notes),
        human_answer=answer,
        question_id=blockers(tx, row["id"], row["unmet_dependencies"]).get("question_id"),
        question_answers=question_answers,
        earlier_evidence=earlier,
        digest=hash((row["name"], row["category"], row["description"], tuple(row["steps"]), tuple(row["paths"] or ()))),
    )


def paths_in(row: Mapping[Any, Any], room: int) -> list[str]:
    """Return the feature's paths, or none if they take more than half of `room`: an incomplete list would mislead."""
    paths: list[str] = row["paths"] or []
    return paths if json_length(paths) <= room // 2 else []


def evidence_text(evidence: dict[str, Any] | None) -> str | None:
    """Return the summary of evidence, or else its first command, or else the verify command that succeeded."""
    if not evidence:
        return None
    commands = [one["command"] for one in evidence.get("commands", [])]
    commands += [evidence["verification"]["command"]] if "verification" in evidence else []
    return next(iter([*filter(None, [evidence.get("summary")]), *commands]), None)


def _taken(parts: Sequence[Answer]) -> int:
    return sum(json_bytes(part.wire()) + 1 for part in parts)


def dependencies_of(tx: Transaction, feature: int, room: int) -> list[Dependency]:
    """Return the dependencies, each with one line of its evidence, in at most `room` bytes."""
    rows = tx.all(_builds_on, feature=feature)
    each = room // max(1, len(rows)) - DEPENDENCY_FRAME
    found: list[Dependency] = []
    for row in rows:
        name = truncate(row["name"], max(8, min(80, each * 2 // 3))) or ""
        rest = each - json_bytes(name)
        passes = row["status"] in SATISFIED  # the evidence is outdated after a regression
        summary = (row["evidence"] or {}).get("summary") if passes else None
        evidence = first_line(summary, min(100, rest)) if rest >= 12 else None
        found.append(Dependency(id=row["id"], name=name, status=row["status"], evidence=evidence))
    return found


def human_answer_of(stored: dict[str, Any] | None, room: int) -> HumanAnswer | None:
    """Return a person's answer in about `room` bytes at most."""
    if stored is None:
        return None
    prompt = truncate(stored.get("prompt"), room // 6)
    answers = truncate_json(stored["answers"], room - 120 - json_bytes(prompt))
    return HumanAnswer(answers=answers, answered_by=truncate(stored["by"], AGENT_ROOM) or "", prompt=prompt)


def question_answers_of(tx: Transaction, feature: int, room: int) -> list[HumanAnswer]:
    """Return the answers to the questions that a feature waited for, the latest first, in about `room` bytes at most."""
    found: list[HumanAnswer] = []
    for row in answers_of(tx, feature):
        if room < LEAST_ANSWER_ROOM:
            break
        stored = {"prompt": words(row["questions"]), "answers": row["answers"], "by": row["answered_by"]}
        one = human_answer_of(stored, room - 30)
        assert one is not None, "it was answered"
        found.append(one.model_copy(update={"question_id": row["id"]}))
        room -= json_bytes(found[-1].wire()) + 1
    return found


def notes_of(tx: Transaction, feature: int, room: int) -> tuple[list[NoteEntry], int]:
    """Return the newest notes on a feature, as many as fit in `room` bytes, and the number of the others."""
    notes = _notes(tx.all(_noted, feature=feature, most=NOTES), tx.now, room)
    return notes, tx.value(_count_noted, feature=feature) - len(notes)


def new_notes(tx: Transaction, feature: int, token: str) -> dict[str, Any]:
    """Return the fields of an acknowledgement with other agents' notes since the holder's last call."""
    found = tx.all(_new_to_holder, feature=feature, token=token)
    note = truncate(found[0]["detail"]["note"], NEW_NOTE_ROOM) if found else None
    return {"new_notes": len(found), "note": note}


def _feedback(tx: Transaction, feature: int, learned: Sequence[Row], room: int) -> Feedback | None:
    """Return why a person did not accept the latest pass, in about `room` bytes at most, or None."""
    latest = next((row for row in learned if row["kind"] in REVIEWED), None)
    if latest is None and len(learned) == LEARNED:
        latest = latest_feedback(tx, feature)
    if latest is None or latest["kind"] not in NOT_ACCEPTED:
        return None
    return Feedback(
        text=truncate(latest["detail"]["reason"], max(room - 150, 20)) or "",
        agent=truncate(latest["agent"], AGENT_ROOM) or "",
        at=latest["at"],
        times_returned=latest["detail"].get("times_returned", 0),
    )


def _failures(learned: Any, room: int) -> list[Failure]:
    failed = [row for row in learned if row["kind"] in _FAILED][:FAILURES]
    each = room // max(1, len(failed)) - 130
    return [
        Failure(
            reason=truncate((row["detail"] or {}).get("reason"), max(each, 20)) or "",
            same_reason_as_before="in_a_row" in (row["detail"] or {}),
            agent=truncate(row["agent"], AGENT_ROOM) or "",
            at=row["at"],
        )
        for row in failed
    ]


def _notes(learned: Any, now: float, room: int) -> list[NoteEntry]:
    """Return as many of the newest notes as fit in `room` bytes, oldest first."""
    notes: list[NoteEntry] = []
    for row in [row for row in learned if row["kind"] in NOTED][:NOTES]:
        if room < 100:
            break
        note = NoteEntry(
            text=truncate((row["detail"] or {}).get("note"), min(400, room - 90)) or "",
            agent=truncate(row["agent"], AGENT_ROOM) or "",
            age_seconds=max(0, int(now - row["at"])),
        )
        room -= json_bytes(note.wire()) + 1
        notes.append(note)
    return notes[::-1]
