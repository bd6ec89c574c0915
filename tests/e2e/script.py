"""Scripts for a model: calls of tools, each computed from the last result."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from dibs_schema.operations import BY_TOOL


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

FILLERS: tuple[Any, ...] = ("", None, 0, False, [])
"""What models send in arguments for which they have no value."""

NewScript = Callable[[], Script]


def calls(*planned: Call) -> Script:
    """Return a script that makes the given calls, whatever their results."""
    yield from planned


def filled_in(tool: str, filler: Any, **given: Any) -> Call:
    """Call a tool as a model that cannot leave out an argument: each optional one that it has no value for is `filler`."""
    return Call(tool, dict.fromkeys(sorted(BY_TOOL[tool].optional), filler) | given)


def drain_filled_in(note: Callable[[Shown], None]) -> Script:
    """Claim, note and pass one feature after the other until nothing is left, with fillers of every kind in turn."""
    for filler in cycle(FILLERS):
        claimed = yield filled_in("feature_claim_and_get", filler)
        note(claimed)
        answer = claimed.data()
        if answer.get("state") != "claimed":
            return
        held = {"feature_id": answer["feature"]["id"], "claim_token": answer["claim"]["token"]}
        note((yield filled_in("feature_heartbeat", filler, **held)))
        nested = "" if isinstance(filler, int) else filler  # within an object a 0 or false is not nothing
        evidence = {"summary": "built", "commands": nested, "commit": nested}
        note((yield filled_in("feature_mark_passing", filler, **held, evidence=evidence)))


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
