"""What a scripted model does: calls of tools, each computed from what the last one showed it."""

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
    """What the model was shown of a tool's result: `raw` as it came, `text` what a model reads of it."""

    call_id: str
    raw: Any
    text: str
    is_error: bool | None = None

    def data(self) -> dict[str, Any]:
        """The answer in the text, which is the one JSON object in it."""
        assert "{" in self.text, f"the model was shown no data: {self.text!r}"
        found = json.loads(self.text[self.text.index("{") : self.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found


Script = Generator[Call, Shown, None]
"""A model's mind: yields calls, is sent what each showed; its end is the end of the turn."""

NewScript = Callable[[], Script]


def calls(*planned: Call) -> Script:
    """A script that makes these calls, whatever they show."""
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
