"""Answers and refusals as a client sees them: the same data as structured content and as text."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import CallToolResult, TextContent

from dibs_schema.refusals import Refusal


def result(data: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    """One answer in both channels: some clients show the model only the one, some only the other."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=data, is_error=is_error
    )


def refused(refusal: Refusal) -> CallToolResult:
    """A refusal, flagged as an error."""
    return result(refusal.answer(), is_error=True)
