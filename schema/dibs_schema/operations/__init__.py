"""The table of operations. MCP tools, commands, methods of the Python client, roles and reference pages are made from it.

To add an operation, write its arguments and its row in the module of its group, its verb or query, and its function in
`dibs.session`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dibs_schema.next_step import Step
from dibs_schema.operations.claims import Claims
from dibs_schema.operations.operation import AnyOperation, Command, Operation, adapter, argument_name, read_arguments
from dibs_schema.operations.people import People
from dibs_schema.operations.planning import Planning
from dibs_schema.operations.reading import Reading
from dibs_schema.roles import Role

__all__ = [
    "BY_TOOL",
    "OPERATIONS",
    "AnyOperation",
    "Command",
    "Operation",
    "Operations",
    "adapter",
    "argument_name",
    "offered",
    "read_arguments",
    "steps_for",
]


class Operations(Claims, People, Planning, Reading):
    """Every operation, by the name of its method."""


OPERATIONS: tuple[AnyOperation, ...] = tuple(
    value
    for group in (Claims, People, Planning, Reading)
    for value in vars(group).values()
    if isinstance(value, Operation)
)

BY_TOOL: Mapping[str, AnyOperation] = {one.tool: one for one in OPERATIONS}


def steps_for(role: Role, steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the next steps as a role can take them: without operations and arguments that it does not have.

    A step of another role stays, but is worded without the operation. A step that only the caller could take is
    replaced by the role's own next step, if there is one.
    """
    found: list[Step] = []
    for step in steps:
        if _can_take(role, step):
            found.append(replace(step, by=None) if step.by is role else step)
        elif step.by is not None:
            found.append(replace(step, named=False))
        elif step.operation in ("feature_claim_and_get", "feature_mark_in_progress") and role is Role.TESTER:
            found.append(Step("feature_get_for_regression", purpose="for the next feature to test"))
    return tuple(step for place, step in enumerate(found) if step not in found[:place])


def _can_take(role: Role, step: Step) -> bool:
    if step.operation is None:
        return True
    operation = BY_TOOL[step.operation]
    if not role.has(operation.roles):
        return False
    if role is Role.TESTER and step.operation == "feature_claim_and_get" and "feature_id" not in step.arguments:
        return False
    return not set(operation.hidden_from(role)) & {*step.arguments, *step.needs}


def offered(role: Role) -> list[AnyOperation]:
    """Return the operations that a role may use, in the table's order."""
    return [one for one in OPERATIONS if role.has(one.roles)]
