"""What a person does on a page: each form is one operation, as a tool would call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dibs.board.add import read_list
from dibs.board.questions import answers_in
from dibs.board.wording import BOARD
from dibs.session.session import refuse_role
from dibs_schema.operations import Operations, read_arguments

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from dibs.board.project import Project
    from dibs_schema.operations import AnyOperation

Perform = Callable[["Project", "FormData"], Awaitable[None]]
"""Does what a form asks for. Raises the Refusals of its operation."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a form does. If it only `shows`, the page is answered with the form's values, and nothing changes."""

    perform: Perform
    shows: bool = False


def _operation(operation: AnyOperation, arguments: Callable[[FormData], dict[str, Any]]) -> Action:
    """Return the action that performs an operation with the arguments in its form."""

    async def perform(project: Project, form: FormData) -> None:
        await project.session.perform(operation, read_arguments(operation, arguments(form)))

    return Action(perform)


def _feature(form: FormData, **others: Any) -> dict[str, Any]:
    return {"feature_id": form.get("feature"), **others}


def _asked(form: FormData, **others: Any) -> dict[str, Any]:
    """Return which question a form is about."""
    about = {"feature_id": form.get("feature"), "question_id": form.get("question")}
    return {**{name: value for name, value in about.items() if value}, **others}


def _new_feature(form: FormData) -> dict[str, Any]:
    texts = {name: form.get(name) for name in ("category", "name", "description", "priority")}
    lists = {name: lines_of(form, name) for name in ("steps", "paths")}
    return {**texts, **lists, "dependencies": str(form.get("dependencies", "")).replace(",", " ").split()}


def lines_of(form: FormData, name: str) -> list[str]:
    """Return the lines of a text, without empty ones."""
    return [line.strip() for line in str(form.get(name, "")).splitlines() if line.strip()]


async def _preview(_: Project, form: FormData) -> None:
    read_list(str(form.get("list", "")))


async def _import(project: Project, form: FormData) -> None:
    refuse_role(project.session.settings.role, Operations.create_many, BOARD)
    pasted = read_list(str(form.get("list", "")))
    comparison = await project.database.read(pasted.compare)
    await project.database.write(partial(pasted.apply, comparison=comparison))


ACTIONS = {
    "answer": _operation(Operations.answer_person, lambda form: _asked(form, answers=answers_in(form) or None)),
    "withdraw": _operation(Operations.answer_person, lambda form: _asked(form, cancel=True)),
    "free": _operation(Operations.release, lambda form: _feature(form, force=True)),
    "retry": _operation(Operations.update, lambda form: _feature(form, retry=True)),
    "approve": _operation(Operations.approve, _feature),
    "add": _operation(Operations.create, _new_feature),
    "preview": Action(_preview, shows=True),
    "import": Action(_import),
}
"""The actions by the last part of the path that their forms post to."""
