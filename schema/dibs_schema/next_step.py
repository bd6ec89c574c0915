"""The next step that a refusal or an answer names, as data; each face words it for its reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dibs_schema.roles import Role


@dataclass(frozen=True, slots=True)
class Step:
    """An operation to call next.

    `operation` is a tool's name, or None for the same call again. `arguments` are its arguments. `needs` names the
    arguments whose values only the caller knows. `purpose` ends the sentence: "for the next ready feature". `by` is the
    role that must call it, if that is not the caller's. A step that is not `named` is worded without its operation,
    which its reader does not have.
    """

    operation: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = ""
    needs: Sequence[str] = ()
    by: Role | None = None
    named: bool = True


class Wording(Protocol):
    """How one kind of reader writes a call."""

    def call(self, step: Step) -> str:
        """Write the call: a tool with its arguments, a command line, a method."""


class ToolWording:
    """The words for an agent that calls tools."""

    def call(self, step: Step) -> str:
        """Write `feature_claim_and_get with feature_id=5, resume=true and your agent`."""
        given = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in step.arguments.items()]
        if step.needs:
            given.append(f"{'the' if step.by else 'your'} {', '.join(step.needs)}")
        *others, last = given or [""]
        listed = f"{', '.join(others)} and {last}" if others else last
        return f"{step.operation or 'again'} {'with ' if given else ''}{listed}".rstrip()


TOOLS = ToolWording()

FIND_FEATURE = Step("feature_search", purpose="to find features by text")
NEXT_FEATURE = Step("feature_claim_and_get", purpose="for the next ready feature")


def word(steps: Sequence[Step], wording: Wording = TOOLS, verb: str = "Call") -> str:
    """Write the steps as sentences: the caller's own first, joined by "or", and then the steps of other roles.

    Returns "" where there are none.
    """
    own = [_clause(step, wording) for step in steps if step.by is None]
    sentences = [f"{verb} {', or '.join(own)}."] if own else []
    for step in steps:
        if step.by is not None:
            needed = f"A {step.by} {verb.lower()}s {_clause(step, wording)}." if step.named else _need(step)
            sentences.append(needed)
    return " ".join(sentences)


def _need(step: Step) -> str:
    return f"A {step.by} is needed {step.purpose}".rstrip() + "."


def _clause(step: Step, wording: Wording) -> str:
    return f"{wording.call(step)} {step.purpose}".rstrip()
