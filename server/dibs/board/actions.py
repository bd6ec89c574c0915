"""What a person does on a page: each form is one operation, as a tool would call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dibs.board.questions import answers_in
from dibs_schema.operations import Operations, read_arguments

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from dibs.session.session import Session
    from dibs_schema.operations import AnyOperation


@dataclass(frozen=True, slots=True)
class Action:
    """An operation, and how the values of its form become arguments."""

    operation: AnyOperation
    arguments: Callable[[FormData], dict[str, Any]]


def _feature(form: FormData, **others: Any) -> dict[str, Any]:
    return {"feature_id": form.get("feature"), **others}


def _asked(form: FormData) -> dict[str, Any]:
    """Return which question a form is about."""
    about = {"feature_id": form.get("feature"), "question_id": form.get("question")}
    return {name: value for name, value in about.items() if value}


ACTIONS = {
    "answer": Action(Operations.answer_person, lambda form: {**_asked(form), "answers": answers_in(form) or None}),
    "withdraw": Action(Operations.answer_person, lambda form: {**_asked(form), "cancel": True}),
    "free": Action(Operations.release, lambda form: _feature(form, force=True)),
    "retry": Action(Operations.update, lambda form: _feature(form, retry=True)),
    "confirm": Action(Operations.update, lambda form: _feature(form, confirm=True)),
}
"""The actions by the last part of the path that their forms post to."""


async def perform(session: Session, action: Action, form: FormData) -> None:
    """Perform an action. Raises the Refusals of its operation."""
    await session.perform(action.operation, read_arguments(action.operation, action.arguments(form)))
