"""Reads from a command's output how many tokens and how much money it used."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

LINES = 200
"""The last lines of the output that are looked at."""
CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Input that Claude Code counts separately."""


def reported(output: str) -> tuple[dict[str, Any], str | None]:
    """Return the usage in the last JSON object of the output that has one, and the agent's last text, if that is there.

    Claude Code prints such an object with `--output-format json` or `stream-json`, Codex with `exec --json`. Sources:
    https://code.claude.com/docs/en/headless, https://developers.openai.com/codex/noninteractive
    """
    for line in reversed(output.splitlines()[-LINES:]):
        if line.startswith("{") and '"usage"' in line:
            with suppress(ValueError, RecursionError):
                found = json.loads(line)
                if isinstance(found.get("usage"), dict):
                    return _usage(found), found["result"] if isinstance(found.get("result"), str) else None
    return {}, None


def _usage(found: dict[str, Any]) -> dict[str, Any]:
    given = found["usage"]
    tokens = [number for name in ("input_tokens", *CACHED) if (number := _number(given.get(name))) is not None]
    usage = {
        "input_tokens": int(sum(tokens)) if tokens else None,
        "output_tokens": _number(given.get("output_tokens")),
        "cost_usd": _number(found.get("total_cost_usd")),
    }
    return {name: number for name, number in usage.items() if number is not None}


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9 else None
