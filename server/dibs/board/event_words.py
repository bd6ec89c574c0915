"""Words events for people."""

from __future__ import annotations

from dibs_schema.answers import HistoryEvent
from dibs_schema.status import Kind

WORDS = {
    Kind.CREATE: "added",
    Kind.CLAIM: "claimed",
    Kind.RESUME: "took up again",
    Kind.HEARTBEAT: "reported on",
    Kind.RELEASE: "released",
    Kind.EXPIRE: "ended the expired claim of",
    Kind.PASS: "passed",
    Kind.VERIFY: "tested again",
    Kind.FAIL: "failed",
    Kind.REGRESS: "reported as broken",
    Kind.RETURN: "returned",
    Kind.REJECT: "rejected",
    Kind.SKIP: "skipped",
    Kind.ASK: "asked a person about",
    Kind.ANSWER: "answered about",
    Kind.CANCEL: "withdrew the question about",
    Kind.RETRY: "lets agents try again",
    Kind.ARCHIVE: "archived",
    Kind.RESTORE: "restored",
    Kind.NOTE: "left a note on",
    Kind.UPDATE: "changed",
    Kind.DEPEND: "changed the dependencies of",
    Kind.UNMET: "holds up",
    Kind.MET: "no longer holds up",
}
"""What its agent did, before the name of the feature. A kind without words is shown by its name."""
ABOUT_PROJECT = {Kind.ASK: "asked", Kind.ANSWER: "answered", Kind.CANCEL: "withdrew"}
"""The same for the project: questions of `ask_user`."""
TEXTS = ("reason", "note", "prompt", "evidence")
"""The details that are texts."""


def action(event: HistoryEvent, feature: int | None) -> str:
    """Return what the event's agent did, before the name of the feature."""
    kind = event.kind
    if feature is None:
        number = (event.detail or {}).get("question")
        return ABOUT_PROJECT.get(Kind(kind), WORDS[Kind(kind)]) + (f" question {number}" if number else " the project")
    return WORDS.get(kind, kind)  # type: ignore[call-overload,no-any-return]  # a Kind equals its value


def details(event: HistoryEvent) -> str:
    """Return the text of an event's details: why, what was noted or asked, or which fields changed."""
    detail = event.detail or {}
    if (text := next((detail[name] for name in TEXTS if detail.get(name)), None)) is not None:
        return str(text)
    if fields := detail.get("fields"):
        return ", ".join(fields) if isinstance(fields, list) else str(fields)
    if holder := detail.get("holder"):
        return str(holder)
    return ""
