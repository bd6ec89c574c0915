"""A lone surrogate, as JavaScript writes for half an emoji, is removed, and the rest of the text stays."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from dibs.client import server_command

OPENING: list[dict[str, Any]] = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDE00)], ids=["first", "second"])
def test_a_text_with_half_a_letter_is_kept_without_it(db: str, half: str) -> None:
    """The call is answered under its own id, and only the half is missing from the feature's name."""
    arguments = {"category": "c", "name": f"cut {half} off", "description": "d", "steps": ["s"]}
    calls = [
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "feature_create", "arguments": arguments},
        },
        {"jsonrpc": "2.0", "id": 3, "method": "tools/list"},
    ]
    typed = "".join(json.dumps(one) + "\n" for one in [*OPENING, *calls])
    done = subprocess.run(
        server_command("--db", db), input=typed, capture_output=True, text=True, timeout=60, check=True
    )
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert answers.keys() == {1, 2, 3}
    assert answers[2]["result"]["structuredContent"] == {"ids": [1], "count": 1}
