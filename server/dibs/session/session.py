"""One connection: who is at the other end, and the leases that stand for its life."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from dibs.database import Database, Upkeep, VerbJob
from dibs.session.issued_tokens import Tokens
from dibs.settings import Settings
from dibs_schema.refusals import Busy, ClaimLost, OutcomeUnknown, Refusal
from dibs_schema.status import Kind

if TYPE_CHECKING:  # the verbs bring SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.database.transaction import Transaction
    from dibs.rules.claimant import Holder
    from dibs.session.http_session import HttpRequest

logger = logging.getLogger(__name__)

T = TypeVar("T")

RENEWAL_PATIENCE = 0.5
RENEWAL_RETRY = 1.0
RELEASE_PATIENCE = 0.4
"""Seconds: for one try of a renewal, between two tries (less with a short lease), and for giving all back at the end."""
REAP_PAUSE = 0.25
"""Seconds between two looks for leases that have run out: claims within it share one look."""


class Connection:
    """The state of one client's connection, from its first request to the release of its claims."""

    def __init__(self, database: Database, settings: Settings, session: str) -> None:
        self.database = database
        self.settings = settings
        self.session = session
        self.closing = anyio.Event()
        self.tokens = Tokens()
        self._reaped_at = 0.0

    @property
    def leases(self) -> str:
        """What an agent must know of its claim's lease."""
        return "The lease is renewed while you are connected; nothing needs to be done for it."

    # -- who calls --------------------------------------------------------------------------------

    def calling(self, request: HttpRequest | None, *, sessions: bool) -> Connection:  # noqa: ARG002 - others need them
        """The view that one call has of its connection."""
        return self

    def holder(self, agent: str | None) -> Holder:
        """Who claims: the agent named by the call or the settings, else the connection."""
        from dibs.rules.claimant import Holder, nameless

        name = agent or self.settings.agent
        return Holder(
            name=name or nameless(self.session),
            named=name is not None,
            session=self.session,
            lease=self.settings.lease,
        )

    def claimant(self, agent: str | None) -> tuple[Holder, str]:
        """Who claims by this very call, and the token that the claim will have."""
        from dibs.rules.claimant import new_token

        token = new_token()
        return replace(self.holder(agent), fresh=token), token

    def author(self, feature: int | None = None) -> str:
        """Who acts: the name under which this server issued the claim on `feature`, else the connection's."""
        name = self.tokens.author(feature) if feature is not None else None
        return name or self.holder(None).name

    def claim_scope(self, agent: str | None, request_id: str | None) -> str:  # noqa: ARG002 - others refuse one
        """Where a claim's request_id is unique: the agent's name, or the connection."""
        return agent or self.settings.agent or self.session

    async def move(
        self,
        feature: int,
        given: str | None,
        kind: Kind,
        verb: Callable[[Transaction, str, str | None], T],
        *,
        exclusive: bool = True,
    ) -> T:
        """Run a move of a claim with its author and token, and note how the claim ended."""
        meant: list[str | None] = [None]

        def run(tx: Transaction) -> T:
            # Only here are the claims known that were asked for before, in the same breath.
            token = meant[0] = self.tokens.meant(feature, given, kind)
            author = self.author(feature)
            try:
                return verb(tx, author, token)
            except ClaimLost:
                if given is None and self.tokens.was_ended_here(token):
                    meant[0] = None
                    return verb(tx, author, None)
                raise

        try:
            answer = await self.database.write(VerbJob(run, exclusive=exclusive))
        except ClaimLost:
            self.tokens.lose(meant)
            raise
        if kind is not Kind.HEARTBEAT:
            self.tokens.end(meant[0], kind)
        return answer

    async def is_gone(self) -> bool:
        """Whether nobody can get the answer of this call; a pipe that broke ends the whole server."""
        return False

    # -- leases -----------------------------------------------------------------------------------

    async def keep(self, token: str | None) -> None:
        """Note that a call carries the token; the lease is renewed in any case."""

    async def keep_up(self) -> None:
        """Renew the leases issued here, every third of a lease, and reap what others left, for ever."""
        while True:
            await anyio.sleep(self.settings.lease / 3)
            await self._renew()
            await self._reap()

    async def _renew(self) -> None:
        from dibs.verbs.lease import renew

        while tokens := self.tokens.at_work(self.settings.hold_limit):
            began = time.monotonic()
            try:
                good = await self.database.write(
                    VerbJob(partial(renew, tokens=tokens), exclusive=False),
                    patience=RENEWAL_PATIENCE,
                    urgent=True,
                )
            except (Busy, OutcomeUnknown):
                await anyio.sleep(min(RENEWAL_RETRY, self.settings.lease / 20))
            except Refusal as refusal:
                logger.warning("leases were not renewed: %s", refusal)
                return
            else:
                self.tokens.lose(set(tokens) - good)
                if time.monotonic() - began < self.settings.lease / 3:
                    return  # else the leases count from before a long wait, and are due again

    async def _reap(self) -> None:
        from dibs.verbs.lease import REAPING

        try:
            if self.database.on_time and await self.database.read(REAPING.is_due):
                await self.database.write(VerbJob(lambda _: None, upkeep=REAPING))
        except Refusal as refusal:
            logger.info("the reaper rests: %s", refusal)

    def reaper(self) -> Upkeep | None:
        """What takes back claims whose leases have run out, if it is time to look again."""
        from dibs.verbs.lease import REAPING

        now = time.monotonic()
        if now - self._reaped_at < REAP_PAUSE:
            return None
        self._reaped_at = now
        return REAPING

    async def end(self) -> None:
        """Give every claim back and close the database, in about half a second or not at all."""
        if self.tokens.any_live():
            from dibs.verbs.lease import release_session

            try:
                await self.database.write(
                    lambda tx: release_session(tx, self.session), patience=RELEASE_PATIENCE, urgent=True
                )
            except Refusal as refusal:
                logger.warning("claims were not released and run out by themselves: %s", refusal)
                self.database.close(patience=0)  # whatever kept the writer then, keeps it still
        self.database.close()
