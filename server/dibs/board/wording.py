"""Writes the next steps in answers and refusals for the reader of a page, who knows no tools."""

from __future__ import annotations

from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL


class BoardWording:
    """Writes a call by its title."""

    def call(self, step: Step) -> str:
        """Write `“Release a claim” of feature 12`."""
        if step.operation is None:
            return "again"
        feature = step.arguments.get("feature_id")
        return f"“{BY_TOOL[step.operation].title}”" + (f" of feature {feature}" if feature is not None else "")


BOARD = BoardWording()
