"""The table of operations. MCP tools, commands, methods of the Python client, roles and reference pages follow from it.

To add an operation: its arguments and its row in the module of its group, its verb or query, and its function in
`dibs.session`.
"""

from __future__ import annotations

from collections.abc import Mapping

from dibs_schema.operations.claims import Claims
from dibs_schema.operations.operation import AnyOperation, Command, Operation, adapter, read_arguments
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
    "offered",
    "read_arguments",
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


def offered(role: Role) -> list[AnyOperation]:
    """Return the operations that a role may use, in the table's order."""
    return [one for one in OPERATIONS if role.has(one.roles)]
