"""Answers and refusals as a client sees them: the same data as structured content and as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from dibs_schema.refusals import InvalidInput, Refusal
from dibs_schema.validation import misfit, path_of


def result(data: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    """One answer in both channels: some clients show the model only the one, some only the other."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=data, is_error=is_error
    )


def refused(refusal: Refusal) -> CallToolResult:
    """A refusal, flagged as an error."""
    return result(refusal.answer(), is_error=True)


def invalid(error: ValidationError, parameters: Sequence[str]) -> InvalidInput:
    """The first argument that does not fit, by its path; the rejected value is not repeated."""
    place, kind, words = misfit(error)
    path = path_of(place)
    known = f" It takes {', '.join(parameters)}." if kind == "extra_forbidden" and len(place) == 1 else ""
    return InvalidInput(f"{path}: {words}.{known} Nothing was changed.", field=path)
