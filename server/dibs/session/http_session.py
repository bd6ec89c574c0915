"""Calls over HTTP: no connection proves that the holder of a claim lives, so its token has to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from dibs.database import Database, Upkeep, VerbJob
from dibs.session.issued_tokens import Tokens
from dibs.session.session import Connection
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, Refusal, UnmetDependencies
from dibs_schema.status import Kind

if TYPE_CHECKING:  # as in `connection`
    from dibs.database.transaction import Transaction
    from dibs.rules.claimant import Holder

T = TypeVar("T")

LEASES = (
    "Every call needs the token, and nobody renews the lease for you: it begins anew, for {minutes:g} minutes, with each "
    "call that carries claim_token. Call feature_heartbeat in time."
)


class HttpRequest(Protocol):
    """What is asked of the web framework's request."""

    @property
    def headers(self) -> dict[str, str]:
        """Its header fields."""

    async def is_disconnected(self) -> bool:
        """Whether nobody waits for the answer any more."""


class Detached(Connection):
    """All clients of a server over HTTP, and, as `calling` returns it, one call of one of them.

    Nothing is remembered from one call to the next, and nothing is given back when a client or the server ends.
    """

    def __init__(self, database: Database, settings: Settings, server: Detached | None = None) -> None:
        from dibs.rules.claimant import new_session

        super().__init__(database, settings, new_session())
        self.tokens: Tokens = NoTokens()
        self._server = server
        self._request: HttpRequest | None = None
        self._has_session = False
        if server is not None:
            self.closing = server.closing

    @property
    def leases(self) -> str:
        """What an agent must know of its claim's lease."""
        return LEASES.format(minutes=self.settings.detached_lease / 60)

    def calling(self, request: HttpRequest | None, *, sessions: bool) -> Connection:
        """The view that one call has; `sessions` says whether its revision of the protocol knows them.

        Where there is no session, no two calls are known to come from one client.
        """
        call = Detached(self.database, self.settings, self)
        call._request = request
        session = request.headers.get("mcp-session-id") if request is not None and sessions else None
        if session is not None:  # whose name is shown to others, and whose id is its client's own
            call.session = hashlib.blake2b(session.encode(), digest_size=10).hexdigest()
            call._has_session = True
        return call

    def holder(self, agent: str | None) -> Holder:
        """Who claims: the agent named by the call, else the session; a name in the settings would be everybody's."""
        from dibs.rules.claimant import Holder, nameless

        return Holder(
            name=agent or nameless(self.session),
            named=agent is not None,
            session=None,
            lease=self.settings.detached_lease,
        )

    def claim_scope(self, agent: str | None, request_id: str | None) -> str:
        """As for a connection. Raises InvalidInput where nothing tells the caller from others with the same key."""
        if agent is None and request_id is not None and not self._has_session:
            raise InvalidInput(
                "request_id needs an agent name here, since nothing else tells you from other clients: send agent.",
                field="request_id",
            )
        return agent or self.session

    async def move(
        self,
        feature: int,
        given: str | None,
        kind: Kind,
        verb: Callable[[Transaction, str, str | None], T],
        *,
        exclusive: bool = True,
    ) -> T:
        """As for a connection; a claim that is kept because the move was refused has shown that its holder lives."""
        try:
            return await super().move(feature, given, kind, verb, exclusive=exclusive)
        except UnmetDependencies:
            await self.keep(given)
            raise

    async def keep(self, token: str | None) -> None:
        """Renew the lease of the claim whose token a call carries, if there is one."""
        from dibs.verbs.lease import renew

        if token is not None:
            with suppress(Refusal):  # what the call itself is told is more than this
                await self.database.write(VerbJob(lambda tx: renew(tx, [token]), exclusive=False))

    async def is_gone(self) -> bool:
        """Whether the client has closed its request, and cannot get the answer any more."""
        return self._request is not None and await self._request.is_disconnected()

    def reaper(self) -> Upkeep | None:
        """As for a connection, with one look for all clients."""
        return super().reaper() if self._server is None else self._server.reaper()


class NoTokens(Tokens):
    """Remembers no claim: over HTTP the token is always sent."""

    def remember(self, feature: int, token: str, name: str) -> None:
        """Do nothing."""
