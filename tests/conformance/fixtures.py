"""The tools, prompts and resources that the conformance suite requires of a server under test."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)

from dibs_schema.refusals import NotFound

Ctx = Context[Any, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0"
).decode()
PAUSE = 0.05


def said(text: str) -> CallToolResult:
    """Return a tool's answer that consists of one text."""
    return CallToolResult(content=[TextContent(type="text", text=text)])


def image() -> ImageContent:
    """A picture of one pixel."""
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    """A resource inside an answer."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


# -- tools that answer at once --------------------------------------------------------------------------


async def test_simple_text() -> CallToolResult:
    """Return a text."""
    return said("This is a simple text response for testing.")


async def test_image_content() -> CallToolResult:
    """A picture."""
    return CallToolResult(content=[image()])


async def test_audio_content() -> CallToolResult:
    """A sound."""
    return CallToolResult(content=[AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")])


async def test_embedded_resource() -> CallToolResult:
    """A resource."""
    resource = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    return CallToolResult(content=[resource])


async def test_multiple_content_types() -> CallToolResult:
    """A text, a picture and a resource."""
    text = TextContent(type="text", text="Multiple content types test:")
    data = json.dumps({"test": "data", "value": 123})
    resource = embedded("test://mixed-content-resource", "application/json", data)
    return CallToolResult(content=[text, image(), resource])


async def test_error_handling() -> CallToolResult:
    """A refusal, as the product's tools make them."""
    raise NotFound("This tool intentionally returns an error for testing")


# -- tools that say something before they answer ----------------------------------------------------------


async def test_tool_with_logging(ctx: Ctx) -> CallToolResult:
    """Three log messages."""
    for step in ("started", "processing data", "completed"):
        await ctx.info(f"Tool {'' if step.startswith('p') else 'execution '}{step}")
        await asyncio.sleep(PAUSE)
    return said("Logged three messages.")


async def test_tool_with_progress(ctx: Ctx) -> CallToolResult:
    """Three notices of progress."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(PAUSE)
    return said("Reported progress three times.")


async def test_streaming_elicitation(ctx: Ctx) -> CallToolResult:
    """Progress on the stream of its answer, and nothing else there."""
    await ctx.report_progress(1, 1, "streaming")
    return said("Streamed.")


async def test_trigger_tool_change(ctx: Ctx) -> CallToolResult:
    """Tell those who listen that there are other tools."""
    await ctx.notify_tools_changed()
    return said("The list of tools was said to have changed.")


async def test_trigger_prompt_change(ctx: Ctx) -> CallToolResult:
    """Tell those who listen that there are other prompts."""
    await ctx.notify_prompts_changed()
    return said("The list of prompts was said to have changed.")


# -- prompts and resources --------------------------------------------------------------------------------


def message(content: Any) -> UserMessage:
    """A prompt's message."""
    return UserMessage(content=content)


def test_simple_prompt() -> list[UserMessage]:
    """A prompt."""
    return [message("This is a simple prompt for testing.")]


def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """A prompt with arguments."""
    return [message(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]


def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name
    """A prompt with a resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [message(resource), message("Please process the embedded resource above.")]


def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with a picture."""
    return [message(image()), message("Please analyze the image above.")]


def static_text() -> str:
    """Return a text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """Some bytes."""
    return base64.b64decode(PIXEL)


def watched() -> str:
    """Return the content of a resource with subscriptions."""
    return "Watched resource content"


def template(id: str) -> str:  # noqa: A002 - the suite's name
    """A text about an id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


TOOLS = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_logging,
    test_tool_with_progress,
    test_streaming_elicitation,
    test_trigger_tool_change,
    test_trigger_prompt_change,
)
PROMPTS = (
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
)
RESOURCES: dict[str, tuple[Callable[..., Any], str]] = {
    "test://static-text": (static_text, "text/plain"),
    "test://static-binary": (static_binary, "image/png"),
    "test://watched-resource": (watched, "text/plain"),
    "test://template/{id}/data": (template, "application/json"),
}
