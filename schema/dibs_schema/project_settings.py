"""The settings of a project: one table for the database, the command line and the reference page.

To add a setting: its row here, its column in `tables.py`, a migration, and the rule that obeys it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dibs_schema.folding import fold
from dibs_schema.sanitize import clean

Count = Annotated[int, Field(ge=1, le=10_000)]
# Not imported from dibs_schema.inputs, whose models would delay the start of every command.
CLEAN = BeforeValidator(lambda value: clean(value).strip() if isinstance(value, str) else value)
Category = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
Definition = Annotated[str, StringConstraints(min_length=1, max_length=500), CLEAN]


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

    instructions: Annotated[str, StringConstraints(max_length=2_000), CLEAN] = Field(
        "", description="What every worker must know: each claim brings it, at most 2,000 characters."
    )
    done_when: Annotated[dict[Category, Definition], Field(max_length=20)] = Field(
        {},
        description="For a category, when a feature of it is done. Each claim of one brings it, at most 500 characters.",
    )
    verify_command: Annotated[str, StringConstraints(max_length=1_000), CLEAN] = Field(
        "", description="The command that [must succeed before a claimed feature passes](lifecycle.md#proof-of-done)."
    )
    verify_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        300, description="Seconds after which the command is ended, and the feature does not pass."
    )

    def done_when_of(self, category: str) -> str | None:
        """Return when a feature of this category is done, or None. Case does not matter."""
        return next((text for name, text in self.done_when.items() if fold(name) == fold(category)), None)

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> ProjectSettings:
        """Return the settings in a row of `projects`, whose constraints have checked them."""
        return _of_values(*(row[name] for name in _COLUMNS))

    def row(self) -> dict[str, Any]:
        """Return the settings as columns of `projects`."""
        values = {column(name): value for name, value in self.model_dump().items()}
        return values | {"done_when": json.dumps(self.done_when, ensure_ascii=False) if self.done_when else ""}


def column(setting: str) -> str:
    """Return the column of a setting. `order` is a keyword of SQL."""
    return "claim_order" if setting == "order" else setting


_COLUMNS = tuple(column(name) for name in ProjectSettings.model_fields)


@lru_cache(maxsize=64)
def _of_values(*values: Any) -> ProjectSettings:
    """Return the settings with these values, from a cache: every transaction asks for them, and they seldom change."""
    found = dict(zip(ProjectSettings.model_fields, values, strict=True))
    found["done_when"] = json.loads(found["done_when"]) if found["done_when"] else {}
    return ProjectSettings.model_construct(**found)
