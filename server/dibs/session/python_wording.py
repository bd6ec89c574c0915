"""Writes the next steps in answers and refusals as methods, for Python programs."""

from __future__ import annotations

from typing import Any

from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL

META: Any = {"dibs/wording": "python"}
"""What a client sends in the `_meta` of its requests so that the server's texts name methods."""


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
