"""The next step that a refusal or an idle answer names, as data; each face words it for its reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dibs_schema.roles import Role


@dataclass(frozen=True, slots=True)
class Step:
    """An operation to call next.

    `operation` is a tool's name, and `arguments` are its arguments. `needs` names arguments whose values only the
    caller knows. `purpose` ends the sentence: "for another one", "to put it back". `by` is the role that calls it,
    where that is not the caller.
    """

    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = ""
    needs: Sequence[str] = ()
    by: Role | None = None


class Wording(Protocol):
    """How one kind of reader writes a call."""

    def call(self, step: Step) -> str:
        """The call: a tool with its arguments, a command line, a method."""


class ToolWording:
    """The words for an agent that calls tools."""

    def call(self, step: Step) -> str:
        """`feature_claim_and_get with resume=true and your agent`."""
        given = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in step.arguments.items()]
        given += step.needs
        return f"{step.operation} with {' and '.join(given)}" if given else step.operation


TOOLS = ToolWording()


def word(steps: Sequence[Step], wording: Wording = TOOLS, verb: str = "Call") -> str:
    """The steps as sentences: the caller's own first, joined by "or"; then those of other roles.

    Returns "" where there are none.
    """
    own = [_clause(step, wording) for step in steps if step.by is None]
    sentences = [f"{verb} {', or '.join(own)}."] if own else []
    sentences += [f"A {step.by} calls {_clause(step, wording)}." for step in steps if step.by is not None]
    return " ".join(sentences)


def _clause(step: Step, wording: Wording) -> str:
    return f"{wording.call(step)} {step.purpose}".rstrip()
