"""Roles: which operations a caller may use."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A caller's role. Operations of other roles are hidden from it and refused."""

    CODER = "coder"
    TESTER = "tester"
    PLANNER = "planner"
    VIEWER = "viewer"
    ALL = "all"

    @property
    def plans(self) -> bool:
        """Whether the role may do what only planners may do, such as release another agent's claim."""
        return self in (Role.PLANNER, Role.ALL)

    def has(self, roles: tuple[Role, ...]) -> bool:
        """Return whether the role is one of `roles`, or `all`."""
        return self is Role.ALL or self in roles


CODER, TESTER, PLANNER, VIEWER = Role.CODER, Role.TESTER, Role.PLANNER, Role.VIEWER
EVERYONE = (CODER, TESTER, PLANNER, VIEWER)
