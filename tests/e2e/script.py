"""Scripts for a model: calls of tools, each computed from the last result."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """Call this tool with these arguments."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A tool's result as the client shows it to the model: `raw`, and its `text`."""

    call_id: str
    raw: Any
    text: str
    is_error: bool | None = None

    def data(self) -> dict[str, Any]:
        """The answer: the one JSON object in the text."""
        assert "{" in self.text, f"the model was shown no data: {self.text!r}"
        found = json.loads(self.text[self.text.index("{") : self.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found


Script = Generator[Call, Shown, None]
"""A script: yields calls and receives their results. The turn ends when it returns."""

NewScript = Callable[[], Script]


def calls(*planned: Call) -> Script:
    """Return a script that makes the given calls, whatever their results."""
    yield from planned


def drain(agent: str, note: Callable[[Shown], None] = lambda _: None) -> Script:
    """Claim and pass one feature after the other until nothing is left."""
    while True:
        claimed = yield Call("feature_claim_and_get", {"agent": agent})
        note(claimed)
        answer = claimed.data()
        if answer.get("state") != "claimed":
            return
        passed = yield Call(
            "feature_mark_passing",
            {
                "feature_id": answer["feature"]["id"],
                "claim_token": answer["claim"]["token"],
                "evidence": {"summary": f"built by {agent}"},
            },
        )
        note(passed)
