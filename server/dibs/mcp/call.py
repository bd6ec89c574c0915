"""One call of a tool: its session, its operation, its answer in both channels, and how its client asks its user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio
from mcp import types
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError

from dibs.mcp.codex import session_in
from dibs.rules.holder_names import CLIENT
from dibs.session.caller import CallContext, Caller, Reply
from dibs.session.principal import IN_SCOPE
from dibs.session.python_wording import META, PYTHON
from dibs.session.session import Session, refuse_role
from dibs_schema.inputs import HumanField, Question
from dibs_schema.next_step import TOOLS, Step, Wording
from dibs_schema.operations import BY_TOOL, offered, read_arguments
from dibs_schema.refusals import InvalidInput

Ctx = Context[Any, Any]

STATELESS = "2026-07-28"
"""From this protocol revision on there are no sessions. A client asks its user itself, and then repeats the call."""

LONGEST_WAIT = 49.0
"""Seconds in total for which a call may wait for work and for the database: clients give up after 60."""
KEY = "answer"
IGNORED_SHOWN = 10
"""Unknown arguments that an answer lists."""


def session_of(ctx: Ctx) -> Session:
    """Return the session of the client that makes a call: the connection's, or the HTTP request's."""
    session = ctx.request_context.lifespan_context
    assert isinstance(session, Session)
    wording = wording_of(ctx)
    params = ctx.session.client_params
    client = params.client_info.name if params is not None and params.client_info is not None else CLIENT
    if session.caller.connection is not None:
        named = session_in(ctx.request_context.meta)
        if named is not None:
            caller = Caller.on_connection(session.settings, session.caller.connection, client, named)
            return session.for_caller(caller, wording)
        if session.caller.client != client:
            session.caller = Caller.on_connection(session.settings, session.caller.connection, client)
        return session if wording is TOOLS else session.for_caller(session.caller, wording)
    request = ctx.request_context.request
    knows_sessions = (ctx.protocol_version or "") < STATELESS
    http_session = request.headers.get("mcp-session-id") if request is not None and knows_sessions else None
    principal = request.scope.get(IN_SCOPE) if request is not None else None
    return session.for_caller(Caller.over_http(session.settings, http_session, client, principal), wording)


def wording_of(ctx: Ctx) -> Wording:
    """Return how a call's client writes calls."""
    return PYTHON if META.items() <= (ctx.request_context.meta or {}).items() else TOOLS


class InputRequired(Exception):  # noqa: N818 - it is no error
    """The client must ask its user and repeat the call, as `result` says."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__()
        self.result = result


class McpCall(CallContext):
    """A call of a tool by an MCP client."""

    longest_wait = LONGEST_WAIT

    def __init__(self, ctx: Ctx, wait_seconds: float = 0) -> None:
        self._ctx = ctx
        self._wait_seconds = wait_seconds

    @property
    def can_ask(self) -> bool:  # type: ignore[override]  # it is read only here
        """Whether the client can show a question to its user, and may bring the answer.

        An access token whose role cannot answer a person's questions must not do so through its own client.
        """
        request = self._ctx.request_context.request
        principal = request.scope.get(IN_SCOPE) if request is not None else None
        if principal is not None and not principal.role.plans:
            return False
        capabilities = self._ctx.client_capabilities
        return capabilities is not None and capabilities.elicitation is not None

    @property
    def remembers(self) -> bool:  # type: ignore[override]  # it is read only here
        """Whether an agent has received the earlier answers on this connection. Over HTTP nobody knows."""
        session: Session = self._ctx.request_context.lifespan_context
        return session.caller.connection is not None and wording_of(self._ctx) is TOOLS

    @property
    def has_folder(self) -> bool:  # type: ignore[override]  # it is read only here
        """Whether the client has started this server in its folder. Over HTTP it may be anywhere."""
        session: Session = self._ctx.request_context.lifespan_context
        return session.caller.connection is not None

    @property
    def asked_question(self) -> int | None:  # type: ignore[override]  # it is read only here
        """The id of the question that the first attempt of this call stored."""
        state = self._ctx.request_state
        return int(state) if state is not None else None

    async def is_abandoned(self) -> bool:
        """Return whether the client has closed its HTTP request. A broken pipe ends the whole server."""
        request = self._ctx.request_context.request
        return request is not None and bool(await request.is_disconnected())

    async def report_waiting(self, seconds: float) -> None:
        """Report progress to the client."""
        await self._ctx.report_progress(
            seconds, total=self._wait_seconds, message="waiting for a feature to become ready"
        )

    async def report_verifying(self, seconds: float, limit: float) -> None:
        """Report progress to the client."""
        await self._ctx.report_progress(seconds, total=limit, message="running the project's verify command")

    async def ask_fields(self, prompt: str, fields: Sequence[HumanField]) -> Reply | None:
        """Ask the client's user for the fields. Raises InputRequired if the client must ask and repeat the call."""
        result = await self._elicit(prompt, field_schema(fields))
        if result is None or result.action != "accept":
            return None
        return Reply({name: value for name, value in (result.content or {}).items() if value is not None})

    async def ask_questions(self, questions: Sequence[Question], question: int) -> Reply | None:
        """Ask the client's user the questions. Raises InputRequired if the client must ask and repeat the call."""
        message = "\n".join(one.question for one in questions)
        result = await self._elicit(message, question_schema(questions), state=str(question))
        if result is None or result.action == "cancel":
            return None
        return Reply(None if result.action == "decline" else split_choices(questions, result.content or {}))

    async def _elicit(
        self, message: str, schema: dict[str, Any], state: str | None = None
    ) -> types.ElicitResult | None:
        """Return the user's reply, or None if the client cannot ask or nobody answered in time.

        `state` returns with the repeated call of a client that asks its user itself.
        """
        ctx = self._ctx
        if not self.can_ask:
            return None
        if (ctx.protocol_version or "") >= STATELESS:
            reply = (ctx.input_responses or {}).get(KEY)
            if isinstance(reply, types.ElicitResult):
                return reply
            params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
            raise InputRequired(
                types.InputRequiredResult(input_requests={KEY: types.ElicitRequest(params=params)}, request_state=state)
            )
        try:
            with anyio.move_on_after(45):
                result: types.ElicitResult = await ctx.session.elicit_form(
                    message=message, requested_schema=schema, related_request_id=ctx.request_context.request_id
                )
                return result
        except MCPError:  # the client declares the capability but refuses the request
            return None
        return None


def field_schema(fields: Sequence[HumanField]) -> dict[str, Any]:
    """Return the form for a feature's request."""
    return {
        "type": "object",
        "properties": {field.id: _property(field) for field in fields},
        "required": [field.id for field in fields if field.required],
    }


def _property(field: HumanField) -> dict[str, Any]:
    kind = "boolean" if field.type == "boolean" else "string"
    return {"type": kind, "title": field.label} | ({"enum": field.options} if field.type == "select" else {})


def question_schema(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the form for questions to the user; several choices are typed with commas between them."""
    return {
        "type": "object",
        "properties": {question.header: _choice(question) for question in questions},
        "required": [question.header for question in questions],
    }


def _choice(question: Question) -> dict[str, Any]:
    labels = [option.label for option in question.options]
    described = [f"{option.label}: {option.description}" for option in question.options if option.description]
    text = " ".join([question.question, *described])
    if question.multiSelect:
        return {"type": "string", "title": question.header, "description": f"{text} (some of: {', '.join(labels)})"}
    return {"type": "string", "title": question.header, "description": text, "enum": labels}


def split_choices(questions: Sequence[Question], content: dict[str, Any]) -> dict[str, Any]:
    """Return the form's content as answers: several choices typed with commas become a list."""
    answers = {name: value for name, value in content.items() if value is not None}
    for question in questions:
        value = answers.get(question.header)
        if question.multiSelect and isinstance(value, str):
            answers[question.header] = [part.strip() for part in value.split(",") if part.strip()]
    return answers


async def call(session: Session, name: str, arguments: dict[str, Any], ctx: Ctx) -> types.CallToolResult:
    """Call a tool. Raises the Refusals of its operation, and InvalidInput for unknown tools and invalid arguments."""
    operation = BY_TOOL.get(name)
    if operation is None:
        today = next((one.tool for one in offered(session.settings.role) if name in one.former), None)
        if today is not None:
            raise InvalidInput(f"There is no tool {name!r}.", next=[Step(today, purpose="instead")], field="name")
        names = ", ".join(one.tool for one in offered(session.settings.role))
        raise InvalidInput(f"There is no tool {name[:100]!r}. This server offers {names}.", field="name")
    refuse_role(session.settings.role, operation, session.wording)
    if session.caller.principal is not None:
        session.caller.principal.refuse_names(arguments)
    ignored: list[str] = []
    given = read_arguments(operation, arguments, ignored, from_model=True)
    wait_seconds = getattr(given, "wait_seconds", 0)
    answer = await session.perform(operation, given, McpCall(ctx, wait_seconds))
    return result(answer.worded(session.wording).wire() | ({"ignored": ignored[:IGNORED_SHOWN]} if ignored else {}))


def result(data: dict[str, Any], *, is_error: bool = False) -> types.CallToolResult:
    """Return an answer as text and as structured content: some clients show the model only one of them."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=data, is_error=is_error
    )
