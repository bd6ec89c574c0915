"""The settings of a project. Each process applies them from its next transaction on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import bindparam, update

from dibs.database.transaction import Transaction
from dibs.rules.critical_path import forget_heights, rebuild_heights
from dibs.rules.events import record
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind
from dibs_schema.tables import projects
from dibs_schema.validation import first_problem

Count = Annotated[int, Field(ge=1, le=10_000)]


class Rules(BaseModel):
    """The settings of a project.

    `back_off` is in seconds and doubles with each failure, up to 600. `require_evidence` is the evidence that a pass
    must have, `verifier` the agent that must confirm a pass before the project is complete.
    """

    model_config = ConfigDict(extra="forbid")

    order: Literal["priority", "critical_path"]
    max_claims: Count
    max_claims_per_connection: Count
    max_failures: Count
    max_attempts: Count
    max_skips: Count
    max_dependencies: Annotated[int, Field(ge=1, le=100)]
    back_off: Annotated[int, Field(ge=0, le=600)]
    require_evidence: Literal["off", "summary", "command"]
    verifier: Literal["anyone", "other"]


def get_rules(tx: Transaction) -> Rules:
    """Return the project's settings."""
    names = [name for name in Rules.model_fields if name != "order"]
    return Rules(order=tx.project.claim_order, **{name: getattr(tx.project, name) for name in names})


def change_rule(tx: Transaction, by: str, name: str, value: Any) -> Rules:
    """Set one setting. A new order computes all heights, or drops them. Raises InvalidInput."""
    try:
        changed = Rules.model_validate(get_rules(tx).model_dump() | {name: value})
    except ValidationError as error:
        known = ", ".join(Rules.model_fields)
        raise InvalidInput(
            f"{name} {first_problem(error)[2]}. The settings are {known}.", field=name
        ) from None
    column = "claim_order" if name == "order" else name
    statement = update(projects).where(projects.c.id == bindparam("project"))
    tx.run(statement.values({column: getattr(changed, name)}))
    record(tx, by, Kind.UPDATE, None, setting=name, value=getattr(changed, name))
    tx.wakes = name == "verifier"  # the project may be complete now, which ends waiting claims
    if name == "order":
        (rebuild_heights if changed.order == "critical_path" else forget_heights)(tx)
    return changed
