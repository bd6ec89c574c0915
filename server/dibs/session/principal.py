"""A caller over HTTP, as its access token or an identity provider proves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dibs_schema.next_step import Step
from dibs_schema.refusals import Forbidden
from dibs_schema.roles import Role

IN_SCOPE = "dibs.principal"
"""The key of the scope of an HTTP request with its Principal."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and what they may do: one project, one role, and one agent name or the names under a prefix.

    `name` is the access token's, which the events record. A principal without `agent` may use every agent name that
    begins with `prefix`. `issuer` is the identity provider that vouches for it, or None for this database.
    """

    name: str
    project: str
    role: Role
    agent: str | None
    issuer: str | None = None

    @property
    def prefix(self) -> str:
        """The beginning of the agent names that a principal without a name of its own may use."""
        return f"{self.name}/"

    @property
    def fleet(self) -> str | None:
        """How the names of all its agents begin, which it may change with every call; None if it has one agent's name."""
        return self.prefix if self.agent is None else None

    def has_name(self, name: str) -> bool:
        """Return whether the principal may act under a name."""
        return name == self.agent if self.agent is not None else name.startswith(self.prefix)

    def agent_name(self, asked: str | None) -> str | None:
        """Return the agent name for a call that asks for one. Raises Forbidden for another agent's name."""
        if asked is None or self.has_name(asked):
            return asked or self.agent
        if self.agent is not None:
            fact, right = f"This access token is that of agent {self.agent!r}, and names no other.", self.agent
        else:
            fact, right = f"This access token names agents that begin with {self.prefix!r}.", f"{self.prefix}{asked}"
        raise Forbidden(fact, next=[Step(None, {"agent": right[:100]})], agent=self.agent)

    def refuse_names(self, given: Mapping[str, object]) -> None:
        """Raise Forbidden if a call names another project or role than its access token: no operation has such arguments."""
        for name, own in (("project", self.project), ("role", self.role.value)):
            asked = given.get(name)
            if isinstance(asked, str) and asked != own:
                fact = f"This access token is for the {name} {own!r}, which no argument changes."
                raise Forbidden(fact, next=[Step(None, purpose=f"without {name}")])

    def refuse_claim_of(self, holder: str) -> None:
        """Raise Forbidden if a claim's holder has a name that the principal may not use."""
        if not self.has_name(holder):
            raise Forbidden(
                f"The claim is that of {holder!r}, and this access token does not act in that name.",
                next=[Step("feature_clear_in_progress", {"force": True}, by=Role.PLANNER, purpose="to free it")],
                holder=holder,
            )
