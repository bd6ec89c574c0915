"""The caller of a backlog, and what its face (MCP, shell, Python) can do during a call."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dibs.database import WriteJob
from dibs.platform.users import user_name
from dibs.rules.holder_names import CLIENT, name_in_folder, name_of, program_of
from dibs.session.principal import Principal
from dibs.settings import Settings
from dibs_schema.inputs import HumanField, Question
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    # the rules import SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.rules.claimant import Holder


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller of a backlog, which uses the program `client`.

    `agent` is the caller's identity, if it has one. `author` is the name recorded for its actions without a claim.
    `alias` is the holder name of claims made without an identity. `scope` is the namespace of its idempotency keys if
    it has no identity; None if nothing distinguishes it from other callers.

    `connection` is the id of the connection whose server renews the claims' leases. It is None if no connection
    proves that the holder is alive; then each call that carries the token renews the lease. `lease` is in seconds.

    `session` is the id of the agent's session at its client, which outlives the connection, if the client names it.
    `principal` is the identity that an access token proves; it limits the agent names that calls may give.
    """

    client: str
    agent: str | None
    author: str
    alias: str
    scope: str | None
    connection: str | None
    lease: float
    session: str | None = None
    principal: Principal | None = None

    @classmethod
    def on_connection(
        cls, settings: Settings, connection: str, client: str = CLIENT, session: str | None = None
    ) -> Caller:
        """Return the client of a connection that lasts as long as its agent works, with its program's name.

        `session` is the id of the agent's session, if the client names it with a call and not in the environment.
        """
        session = session or settings.client_session
        alias = name_in_folder(client, session or connection, _folder_name(settings), settings.role.value)
        return cls(
            *(client, settings.agent, settings.agent or alias, alias, connection, connection, settings.lease),
            session=session,
        )

    @classmethod
    def over_http(
        cls,
        settings: Settings,
        http_session: str | None,
        client: str = CLIENT,
        principal: Principal | None = None,
    ) -> Caller:
        """Return the caller of one HTTP request. Without an HTTP session, each request counts as a new client.

        The id of an HTTP session is a secret of its client, so others see a digest of it. The agent's name in the
        settings would name every client, so it is not used. A principal not bound to one agent has its prefix put
        before the name.
        """
        scope = None
        if http_session is not None:
            scope = hashlib.blake2b(http_session.encode(), digest_size=10).hexdigest()
        alias = name_of(client, scope or secrets.token_hex(2))
        if principal is not None:
            alias = principal.prefix + alias
        agent = None if principal is None else principal.agent
        lease = settings.detached_lease
        return cls(client, agent, agent or alias, alias, scope, connection=None, lease=lease, principal=principal)

    @classmethod
    def in_shell(cls, settings: Settings) -> Caller:
        """Return the user of a shell, or the agent that its settings name. Each claim without a name has its own alias."""
        user = user_name()
        author = settings.agent or user
        alias = f"{user[:90]}-{secrets.token_hex(2)}"
        return cls(CLIENT, settings.agent, author, alias, author, connection=None, lease=settings.detached_lease)

    def holder(self, agent: str | None, token: str | None = None) -> Holder:
        """Return the holder of a claim under the name `agent`, the caller's own, or none. `token` is the new claim's.

        Raises Forbidden if the caller's access token does not have that name.
        """
        from dibs.rules.claimant import Holder

        name = self._name(agent)
        return Holder(
            name=name or self.alias,
            named=name is not None,
            session=self.connection,
            lease=self.lease,
            fresh=token,
            client=program_of(self.client),
            alias_lasts=self.session is not None,
        )

    @property
    def fleet(self) -> str | None:
        """How the names begin that are all the caller's, if its access token may choose among them."""
        return None if self.principal is None else self.principal.fleet

    def request_scope(self, agent: str | None, request_id: str | None) -> str:
        """Return where a claim's idempotency key is unique: the agent's name, or the caller.

        Raises InvalidInput if a key is given and nothing distinguishes the caller from others.
        """
        scope = self._name(agent) or self.scope
        if scope is None and request_id is not None:
            raise InvalidInput(
                "request_id: send `agent` too; nothing else tells you apart from other clients.",
                next=[Step(None, needs=("agent",))],
                field="request_id",
            )
        return scope or self.author

    def _name(self, agent: str | None) -> str | None:
        return agent or self.agent if self.principal is None else self.principal.agent_name(agent)


def _folder_name(settings: Settings) -> str:
    try:
        return settings.folder.name
    except InvalidInput:  # it has been deleted
        return "?"


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's reply: the answers, or None if they declined to answer."""

    answers: dict[str, Any] | None


class CallContext:
    """A call whose client cannot ask a person and needs no progress reports. Faces that can do more subclass it."""

    wait_seconds: float | None = None
    """Seconds for which a claim waits for work, instead of the operation's argument."""
    longest_wait: float = math.inf
    """Seconds in total for which a call may wait for work and for the database."""
    can_ask = False
    """Whether the client can show a question to its user."""
    remembers = False
    """Whether the caller still has the earlier answers on its connection, as an agent has. A program starts again."""
    has_folder = True
    """Whether the folder of the process is the caller's."""
    folder: Path | None = None
    """The caller's folder, where it is another than that of the process."""
    asked_question: int | None = None
    """The id of the question whose answer the client brings with a repeated call."""

    def claiming(self, job: WriteJob[Any]) -> None:
        """Record the claim that the call is about to make; a face may have to undo it."""

    async def is_abandoned(self) -> bool:
        """Return whether nobody will receive the answer."""
        return False

    async def report_waiting(self, seconds: float) -> None:
        """Report for how many seconds the call has waited for work."""

    async def report_verifying(self, seconds: float, limit: float) -> None:
        """Report for how many seconds the verify command has run, and how many it may take."""

    async def ask_fields(self, prompt: str, fields: Sequence[HumanField]) -> Reply | None:  # noqa: ARG002 - nobody to ask
        """Ask the client's user for the fields. Returns None if they did not reply in time."""
        return None

    async def ask_questions(self, questions: Sequence[Question], question: int) -> Reply | None:  # noqa: ARG002 - likewise
        """Ask the client's user the questions stored as `question`. Returns None if they did not reply in time."""
        return None
