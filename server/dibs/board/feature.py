"""The page of one feature: its texts, what it waits for, its record and history, and a form for each action on it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.board.questions import forms_of
from dibs.queries.get import get_by_id, own_texts, summaries
from dibs.queries.history import get_history
from dibs.session.stale_evidence import judged
from dibs_schema.answers import PendingQuestion
from dibs_schema.status import Status

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

EVENTS = 100
"""The events on the page. `older` in the address continues with those before."""


def _read(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    feature = get_by_id(tx, asked.path["id"])
    texts = own_texts(tx, feature.id)
    fields = _in_fields(texts)
    question = PendingQuestion(id=feature.id, prompt="", asked_at=feature.updated_at)
    return {
        "feature": feature,
        "texts": texts,
        "fields": fields,
        "was": {name: fingerprint(text) for name, text in fields.items()},
        "seen": repr(texts["updated_at"]),
        "claim_seen": repr(texts["claimed_at"]),
        "dependents": summaries(tx, feature.dependents).features,
        "questions": forms_of(tx, [question]) if feature.status == Status.NEEDS_HUMAN.value else [],
        "history": get_history(tx, feature.id, EVENTS, asked.query.get("older")),
    }


def _in_fields(texts: Mapping[str, Any]) -> dict[str, str]:
    """Return texts in the format of the form: steps as paragraphs, paths as lines."""
    lists = {"steps": "\n\n".join(texts["steps"]), "paths": "\n".join(texts["paths"] or ())}
    return {name: str(texts[name]) for name in ("name", "category", "priority", "description")} | lists


def edited(form: FormData) -> dict[str, Any]:
    """Return the arguments of an update with the texts that a person has changed in the form."""
    changed = {"feature_id": form.get("feature"), "unless_changed_since": form.get("seen")}
    for name, value in form.items():
        text = value.replace("\r\n", "\n") if isinstance(value, str) else ""
        if form.get(f"was-{name}", fingerprint(text)) != fingerprint(text):
            changed[name] = _LISTED[name](text) if name in _LISTED else text
    return changed


_LISTED: dict[str, Callable[[str], Any]] = {
    "steps": lambda text: [one.strip() for one in re.split(r"\n\s*\n", text) if one.strip()],
    "paths": lambda text: [one.strip() for one in text.splitlines() if one.strip()],
}


def fingerprint(text: str) -> str:
    """Return a digest of a text, by which the form knows whether a person has changed it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _judge(variables: dict[str, Any], folder: Path) -> None:
    """Mark evidence whose git tree differs from the one in the project's folder."""
    variables["feature"] = judged(variables["feature"], folder)


PAGE = Page(
    "/feature/{id:int}",
    "Feature",
    "feature.html",
    ("state", "edit", "links", "record", "history"),
    _read,
    refused=("edit_seen",),
    after=_judge,
)
