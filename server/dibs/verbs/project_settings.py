"""Read and change the settings of a project. Each process applies a change from its next transaction on."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from sqlalchemy import bindparam, update

from dibs.database.transaction import Transaction
from dibs.rules.critical_path import forget_heights, rebuild_heights
from dibs.rules.events import record
from dibs_schema.project_settings import ProjectSettings, column
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind
from dibs_schema.tables import projects
from dibs_schema.validation import first_problem, path_of


def get_settings(tx: Transaction) -> ProjectSettings:
    """Return the project's settings."""
    return tx.project.settings


def unknown_setting(name: str) -> InvalidInput:
    """Return the refusal for an unknown setting, which lists the known ones."""
    known = ", ".join(ProjectSettings.model_fields)
    return InvalidInput(f"There is no setting {name[:60]}. The settings are {known}.", field="name")


def change_setting(tx: Transaction, by: str, name: str, value: Any) -> ProjectSettings:
    """Change one setting. A new order computes or removes all heights. Raises InvalidInput."""
    if name not in ProjectSettings.model_fields:
        raise unknown_setting(name)
    try:
        changed = ProjectSettings.model_validate(tx.project.settings.model_dump() | {name: value})
    except ValidationError as error:
        place, _, problem = first_problem(error)
        raise InvalidInput(f"{path_of(place)} {problem}. Nothing was changed.", field=name) from None
    statement = update(projects).where(projects.c.id == bindparam("project"))
    tx.run(statement.values({column(name): changed.row()[column(name)]}))
    record(tx, by, Kind.UPDATE, None, setting=name, value=getattr(changed, name))
    tx.wakes = name in ("verifier", "rechecks")  # the project may be complete now, which ends waiting claims
    if name == "order":
        (rebuild_heights if changed.order == "critical_path" else forget_heights)(tx)
    return changed
