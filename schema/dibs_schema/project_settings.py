"""The settings of a project: one table for the database, the command line and the reference page.

To add a setting: its row here, its column in `tables.py`, a migration, and the rule that obeys it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=10_000)]


class ProjectSettings(BaseModel):
    """The settings of a project. Each process obeys them from its next transaction on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Literal["priority", "critical_path"] = Field(
        "priority",
        description="The order of claims: `priority` (then as moved, then id), or `critical_path` (the feature that the "
        "longest chain of features waits for comes first).",
    )
    max_claims: Count = Field(1, description="Live claims of one agent name.")
    max_claims_per_connection: Count = Field(16, description="Live claims of one connection without a name.")
    max_failures: Count = Field(3, description="Failures after which a feature is stuck.")
    max_same_failures: Count = Field(
        3,
        description="Failures in a row for the same reason after which it is stuck; numbers, paths and case do not count.",
    )
    max_attempts: Count = Field(10, description="Attempts without a pass after which it is stuck.")
    max_skips: Count = Field(3, description="Skips after which it is stuck.")
    max_dependencies: Annotated[int, Field(ge=1, le=100)] = Field(20, description="Dependencies of one feature.")
    back_off: Annotated[int, Field(ge=0, le=600)] = Field(
        30,
        description="Seconds for which a feature is not ready after its first failure. Each further failure doubles "
        "them, up to 600.",
    )
    require_evidence: Literal["off", "summary", "command"] = Field(
        "off", description="The [evidence](lifecycle.md#evidence-and-confirmation) that a pass must have."
    )
    verifier: Literal["anyone", "other"] = Field(
        "anyone",
        description="`other`: the project is complete when "
        "[another agent has confirmed](lifecycle.md#evidence-and-confirmation) each pass.",
    )
    rechecks: Literal["optional", "required"] = Field(
        "optional",
        description="`required`: the project is complete when no passing feature awaits a [recheck](lifecycle.md#rechecks).",
    )

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> ProjectSettings:
        """Return the settings in a row of `projects`, whose constraints have checked them."""
        return _of_values(*(row[name] for name in _COLUMNS))

    def row(self) -> dict[str, Any]:
        """Return the settings as columns of `projects`."""
        return {column(name): value for name, value in self.model_dump().items()}


def column(setting: str) -> str:
    """Return the column of a setting. `order` is a keyword of SQL."""
    return "claim_order" if setting == "order" else setting


_COLUMNS = tuple(column(name) for name in ProjectSettings.model_fields)


@lru_cache(maxsize=64)
def _of_values(*values: Any) -> ProjectSettings:
    """Return the settings with these values; every transaction asks for them, and they seldom change."""
    return ProjectSettings.model_construct(**dict(zip(ProjectSettings.model_fields, values, strict=True)))
