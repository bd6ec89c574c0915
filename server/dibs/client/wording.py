"""Writes the next steps in answers and refusals as methods, for Python programs."""

from __future__ import annotations

import re

from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL


class PythonWording:
    """Writes calls for Python programs."""

    def call(self, step: Step) -> str:
        """Write `take(resume=True)`."""
        given = [f"{name}={value!r}" for name, value in step.arguments.items()]
        given += [f"{name}=…" for name in step.needs]
        if step.operation is None:
            return f"it again with {', '.join(given)}" if given else "it again"
        return f"{BY_TOOL[step.operation].method}({', '.join(given)})"


PYTHON = PythonWording()


def name_methods(message: str) -> str:
    """Replace the tools that a server's message names by their methods."""
    return re.sub(r"\w+", lambda word: BY_TOOL[word[0]].method if word[0] in BY_TOOL else word[0], message)
