"""What a person does on a page: each form is one operation, as a tool would call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from dibs.board.add import read_list
from dibs.board.feature import edited
from dibs.board.feature_list import WHAT, selected_ids
from dibs.board.questions import answers_in
from dibs.board.wording import BOARD
from dibs.session.session import refuse_role
from dibs.transfer.run_import import run_import
from dibs_schema.operations import Operations, read_arguments
from dibs_schema.refusals import InvalidInput, Refusal, Unavailable

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


def _dependency(form: FormData) -> dict[str, Any]:
    return _feature(form, dependency_id=form.get("dependency"))


def _place(form: FormData) -> dict[str, Any]:
    """Return the feature's new place: what its button says, or else before the feature that the form names."""
    if to := form.get("to"):
        return _feature(form, to=to)
    return _feature(form, before=form.get("up") or form.get("before"))


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
    pasted = replace(read_list(str(form.get("list", ""))), by=project.session.author())
    await anyio.to_thread.run_sync(run_import, project.database, pasted, lambda *_: None)


_EACH: dict[str, tuple[AnyOperation, dict[str, Any]]] = {
    "retry": (Operations.update, {"retry": True}),
    "approve": (Operations.approve, {}),
    "archive": (Operations.update, {"archived": True}),
    "restore": (Operations.update, {"archived": False}),
    "front": (Operations.move, {"to": "front"}),
    "end": (Operations.move, {"to": "end"}),
}
assert _EACH.keys() == WHAT.keys()


async def _on_each(project: Project, form: FormData) -> None:
    """Do one thing to each of the features in a form, in order. Raises InvalidInput with any refusals."""
    if (what := str(form.get("what"))) not in _EACH:
        raise InvalidInput("Choose what to do with the features.", field="what")
    operation, others = _EACH[what]
    ids, refused = selected_ids(form.getlist("id")), []
    for number in ids[::-1] if what == "front" else ids:
        try:
            await project.session.perform(operation, read_arguments(operation, {"feature_id": number, **others}))
        except Unavailable:
            raise
        except Refusal as refusal:
            refused.append(refusal.fact)
    if refused:
        raise InvalidInput(f"{len(ids) - len(refused)} of {len(ids)} were changed. The others: {' '.join(refused)}")


ACTIONS = {
    "each": Action(_on_each),
    "answer": _operation(Operations.answer_person, lambda form: _asked(form, answers=answers_in(form) or None)),
    "withdraw": _operation(Operations.answer_person, lambda form: _asked(form, cancel=True)),
    "free": _operation(
        Operations.release, lambda form: _feature(form, force=True, unless_claimed_since=form.get("seen"))
    ),
    "retry": _operation(Operations.update, lambda form: _feature(form, retry=True)),
    "approve": _operation(Operations.approve, _feature),
    "return": _operation(Operations.return_, lambda form: _feature(form, feedback=form.get("words"))),
    "reject": _operation(Operations.reject, lambda form: _feature(form, reason=form.get("words"))),
    "archive": _operation(Operations.update, lambda form: _feature(form, archived=True)),
    "restore": _operation(Operations.update, lambda form: _feature(form, archived=False)),
    "move": _operation(Operations.move, _place),
    "note": _operation(Operations.add_note, lambda form: _feature(form, text=form.get("words"))),
    "depend": _operation(Operations.add_dependency, _dependency),
    "undepend": _operation(Operations.remove_dependency, _dependency),
    "edit": _operation(Operations.update, edited),
    "add": _operation(Operations.create, _new_feature),
    "preview": Action(_preview, shows=True),
    "import": Action(_import),
}
"""The actions by the last part of the path that their forms post to."""
