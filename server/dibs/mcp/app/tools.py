"""The tools of the page: read what it shows, and give a person's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mcp.types import CallToolResult

from dibs.mcp.app.extension import ANSWER, READ, may_answer
from dibs.mcp.call import result
from dibs.queries.open_questions import questions_of, requests_of
from dibs.queries.overview import get_overview
from dibs.session.caller import Caller
from dibs_schema.operations import Operations, read_arguments
from dibs_schema.refusals import Forbidden

if TYPE_CHECKING:
    from dibs.database.transaction import Transaction
    from dibs.session.session import Session
    from dibs_schema.answers import PendingQuestion

SHOWN, ROOM = 20, 100_000
"""The most entries of each list, and their most bytes: a person reads them, and no model."""


async def call_app(session: Session, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """Call a tool of the page. Raises Forbidden, and the Refusals of an answer."""
    if name == READ:
        label = session.database.label
        found = await session.database.read(lambda tx: _shown(tx, label))
        return result(found | {"may_answer": may_answer(session.settings.role)})
    assert name == ANSWER, "the server calls no other"
    if not may_answer(session.settings.role):
        raise Forbidden(f"The role {session.settings.role} answers no agent.", tool=name)
    operation = Operations.answer_person
    given = read_arguments(operation, {key: one for key, one in arguments.items() if key != "cancel"})
    answer = await _person(session).perform(operation, given)
    return result(answer.worded(session.wording).wire())


def _person(session: Session) -> Session:
    """Return the session of the person at the client, who is this machine's user if the client has started the server."""
    if session.caller.connection is None:
        return session
    return session.for_caller(Caller.in_shell(session.settings.model_copy(update={"agent": None})), session.wording)


def _shown(tx: Transaction, database: str) -> dict[str, Any]:
    overview = get_overview(tx, database, SHOWN, ROOM)
    return {"overview": overview.wire(), "forms": _forms(tx, overview.questions)}


def _forms(tx: Transaction, asked: Iterable[PendingQuestion]) -> list[dict[str, Any]]:
    """Return the whole forms of open questions."""
    listed = list(asked)
    requests = requests_of(tx, [one.id for one in listed if one.id is not None])
    questions = questions_of(tx, [one.question_id for one in listed if one.question_id is not None])
    forms: list[dict[str, Any]] = []
    for one in listed:
        request = requests.get(one.id or 0, {})
        fields = [_field(field) for field in request.get("fields", ())]
        fields += [_question(question) for question in questions.get(one.question_id or 0, ())]
        forms.append({**one.wire(), "prompt": request.get("prompt", ""), "fields": fields})
    return forms


def _field(given: Mapping[str, Any]) -> dict[str, Any]:
    options = [{"label": label} for label in given.get("options", ())]
    kind = {"select": "choice", "boolean": "yes"}.get(given.get("type", "text"), given.get("type", "text"))
    required = given.get("required", True)
    return {"name": given["id"], "label": given["label"], "kind": kind, "required": required, "options": options}


def _question(given: Mapping[str, Any]) -> dict[str, Any]:
    kind = "choices" if given.get("multiSelect") else "choice"
    name, label, options = given["header"], given["question"], list(given["options"])
    return {"name": name, "label": label, "kind": kind, "required": True, "options": options, "open": True}
