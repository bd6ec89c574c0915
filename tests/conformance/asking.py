"""Tools and a prompt of the conformance suite that ask something of the client before they answer."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

from conformance.fixtures import Ctx, message, said

Schema = dict[str, Any]


def form(words: str, required: bool = True, **properties: Schema) -> ElicitRequest:
    """Return a question to the user in the form of the stateless revision."""
    schema = {"type": "object", "properties": properties, "required": list(properties) if required else []}
    return ElicitRequest(params=ElicitRequestFormParams(message=words, requested_schema=schema))


def sample(words: str) -> CreateMessageRequest:
    """Return a question to the client's model."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=100))


def told(reply: Any) -> str:
    """Return the client's answer to one of these requests, as text."""
    match reply:
        case ElicitResult():
            return f"{reply.action} {reply.content}"
        case CreateMessageResult():
            return str(reply.content)
        case ListRootsResult():
            return ", ".join(str(root.uri) for root in reply.roots)
    raise AssertionError(f"unexpected {reply!r}")


TEXT: Schema = {"type": "string"}
NAME = form("What is your name?", name=TEXT)


def ask(state: str | None = None, /, **requests: Any) -> InputRequiredResult:
    """Ask the client all of the given questions."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def answered(ctx: Ctx, *names: str) -> str | None:
    """Return the client's answers to all of the questions, or None if it was not asked yet."""
    replies = ctx.input_responses or {}
    if not all(name in replies for name in names):
        return None
    return "; ".join(told(replies[name]) for name in names)


# -- the stateless revision: the client asks, and repeats the call -------------------------------------------


async def test_input_required_result_elicitation(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask the user."""
    reply = (ctx.input_responses or {}).get("user_name")
    if not isinstance(reply, ElicitResult) or "name" not in (reply.content or {}):
        return ask(user_name=NAME)
    return said(f"Hello, {(reply.content or {})['name']}!")


async def test_input_required_result_sampling(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask the model."""
    reply = answered(ctx, "capital_question")
    return said(reply) if reply else ask(capital_question=sample("What is the capital of France?"))


async def test_input_required_result_list_roots(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask for the roots."""
    reply = answered(ctx, "client_roots")
    return said(reply) if reply else ask(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask, and receive a state with the answer."""
    if answered(ctx, "confirm") and ctx.request_state == "asked":
        return said("state-ok")
    return ask("asked", confirm=form("Please confirm", ok={"type": "boolean"}))


async def test_input_required_result_tampered_state(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask, with a state that the SDK seals."""
    return await test_input_required_result_request_state(ctx)


async def test_input_required_result_multiple_inputs(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask three things at once."""
    reply = answered(ctx, "user_name", "greeting", "client_roots")
    if reply and ctx.request_state == "asked":
        return said(reply)
    return ask("asked", user_name=NAME, greeting=sample("Generate a greeting"), client_roots=ListRootsRequest())


async def test_input_required_result_multi_round(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask one thing after the other."""
    if ctx.request_state == "second" and (reply := answered(ctx, "step2")):
        return said(reply)
    if ctx.request_state == "first" and answered(ctx, "step1"):
        return ask("second", step2=form("Step 2: What is your favorite color?", color=TEXT))
    return ask("first", step1=form("Step 1: What is your name?", name=TEXT))


async def test_input_required_result_capabilities(ctx: Ctx) -> CallToolResult | InputRequiredResult:
    """Ask only what the client can be asked."""
    can = ctx.client_capabilities
    requests: dict[str, Any] = {}
    if can is not None and can.elicitation is not None:
        requests["user_name"] = NAME
    if can is not None and can.sampling is not None:
        requests["greeting"] = sample("Generate a greeting")
    return ask(**requests) if requests and not ctx.input_responses else said("Nothing more to ask.")


async def test_missing_capability(ctx: Ctx) -> CallToolResult:
    """Refuse a client without sampling."""
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return said("The client can sample.")


async def test_input_required_result_prompt(ctx: Ctx) -> list[UserMessage] | InputRequiredResult:
    """A prompt that asks the user first."""
    reply = answered(ctx, "user_context")
    if reply:
        return [message(f"Use this context: {reply}")]
    return ask(user_context=form("What context should the prompt use?", context=TEXT))


# -- the revisions with sessions: the server asks ------------------------------------------------------------


async def elicited(ctx: Ctx, words: str, schema: Schema) -> CallToolResult:
    """Ask the user within the call."""
    reply = await ctx.session.elicit_form(
        message=words, requested_schema=schema, related_request_id=ctx.request_context.request_id
    )
    return said(f"Elicitation completed: action={reply.action}, content={reply.content}")


async def test_sampling(prompt: str, ctx: Ctx) -> CallToolResult:
    """Ask the model within the call."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    reply = await ctx.session.create_message(
        messages=[asked], max_tokens=100, related_request_id=ctx.request_context.request_id
    )
    return said(f"LLM response: {reply.content}")


async def test_elicitation(message: str, ctx: Ctx) -> CallToolResult:
    """Ask the user for two strings."""
    texts = {name: {"type": "string", "description": f"The {name}"} for name in ("username", "email")}
    return await elicited(ctx, message, {"type": "object", "properties": texts, "required": list(texts)})


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> CallToolResult:
    """Ask with defaults."""
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(ctx, "Who are you?", {"type": "object", "properties": properties})


async def test_elicitation_sep1330_enums(ctx: Ctx) -> CallToolResult:
    """Ask the user to choose, in every form that the protocol has."""
    values = [f"option{number}" for number in (1, 2, 3)]
    titled = [{"const": value, "title": value.title()} for value in values]
    properties = {
        "untitledSingle": {"type": "string", "enum": values},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": values, "enumNames": [value.title() for value in values]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": values}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicited(ctx, "Choose.", {"type": "object", "properties": properties})


TOOLS = (
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_missing_capability,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
)
PROMPTS = (test_input_required_result_prompt,)
