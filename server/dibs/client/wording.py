"""How Python code writes a call: a method of the backlog."""

from __future__ import annotations

from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL


class PythonWording:
    """The words for the author of a harness."""

    def call(self, step: Step) -> str:
        """`take(resume=True)`."""
        given = [f"{name}={value!r}" for name, value in step.arguments.items()]
        given += [f"{name}=…" for name in step.needs]
        method = "the method again with " if step.operation is None else BY_TOOL[step.operation].method
        return f"{method}({', '.join(given)})"


PYTHON = PythonWording()
