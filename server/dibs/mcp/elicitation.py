"""Asking the person at the client, in both eras of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from dibs.mcp.context import STATELESS, Ctx
from dibs_schema.inputs import HumanField, Question

PATIENCE = 45.0
"""Seconds that a question stays open inside a call; clients give up on the call at 60."""
KEY = "answer"

Schema = dict[str, Any]


async def elicit(
    ctx: Ctx, message: str, schema: Schema, state: str | None = None
) -> ElicitResult | InputRequiredResult | None:
    """What the person said, or None where the client cannot ask or nobody answered in time.

    In the era in which the client repeats the call, the first round returns the result that asks it to,
    with `state` to come back.
    """
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return None
    if (ctx.protocol_version or "") >= STATELESS:
        reply = (ctx.input_responses or {}).get(KEY)
        if isinstance(reply, ElicitResult):
            return reply
        params = ElicitRequestFormParams(message=message, requested_schema=schema)
        return InputRequiredResult(input_requests={KEY: ElicitRequest(params=params)}, request_state=state)
    try:
        with anyio.move_on_after(PATIENCE):
            result: ElicitResult = await ctx.session.elicit_form(
                message=message, requested_schema=schema, related_request_id=ctx.request_context.request_id
            )
            return result
    except MCPError:  # the client knows the capability and refuses all the same
        return None
    return None


def field_schema(fields: Sequence[HumanField]) -> Schema:
    """The form for a feature's request."""
    return {
        "type": "object",
        "properties": {field.id: _property(field) for field in fields},
        "required": [field.id for field in fields if field.required],
    }


def _property(field: HumanField) -> Schema:
    if field.type == "boolean":
        return {"type": "boolean", "title": field.label}
    if field.type == "select":
        return {"type": "string", "title": field.label, "enum": field.options}
    return {"type": "string", "title": field.label}


def question_schema(questions: Sequence[Question]) -> Schema:
    """The form for questions to the user; several choices are typed with commas between them."""
    return {
        "type": "object",
        "properties": {question.header: _choice(question) for question in questions},
        "required": [question.header for question in questions],
    }


def _choice(question: Question) -> Schema:
    labels = [option.label for option in question.options]
    described = [f"{option.label}: {option.description}" for option in question.options if option.description]
    words = " ".join([question.question, *described])
    if question.multiSelect:
        return {
            "type": "string",
            "title": question.header,
            "description": f"{words} (some of: {', '.join(labels)})",
        }
    return {"type": "string", "title": question.header, "description": words, "enum": labels}


def spread(questions: Sequence[Question], content: dict[str, Any]) -> dict[str, Any]:
    """The form's content as answers: what was typed with commas becomes a list."""
    several = {question.header for question in questions if question.multiSelect}
    return {
        name: [part.strip() for part in value.split(",") if part.strip()]
        if name in several and isinstance(value, str)
        else value
        for name, value in content.items()
        if value is not None
    }
