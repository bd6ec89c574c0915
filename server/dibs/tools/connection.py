"""One connection: who is at the other end, and which claims this server has issued to it."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from dibs.database import Database
from dibs.settings import Settings
from dibs_schema.refusals import Busy, ClaimLost, Refusal, TokenRequired
from dibs_schema.status import Kind

if TYPE_CHECKING:  # the verbs bring SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.database.transaction import Transaction
    from dibs.verbs.holder import Holder

logger = logging.getLogger(__name__)

T = TypeVar("T")

RENEWAL_PATIENCE = 0.5
RENEWAL_RETRY = 1.0
RELEASE_PATIENCE = 0.4
"""Seconds: for one try of a renewal, between two tries, and for giving everything back at the end."""
REAP_PAUSE = 0.25
"""Seconds between two looks for leases that have run out: claims within it share one look."""


@dataclass(slots=True)
class Issued:
    """A claim that this server issued: its token, the name it was made under, and how it ended."""

    token: str
    name: str
    touched: float
    lost: bool = False
    ended_by: Kind | None = None

    @property
    def live(self) -> bool:
        """Whether it is held, as far as this server knows."""
        return not self.lost and self.ended_by is None


class Connection:
    """The state of one client's connection, from its first request to the release of its claims."""

    def __init__(self, database: Database, settings: Settings, session: str) -> None:
        self.database = database
        self.settings = settings
        self.session = session
        self.closing = anyio.Event()
        self._issued: dict[int, list[Issued]] = defaultdict(list)
        self._by_token: dict[str, Issued] = {}
        self._reaped_at = 0.0

    # -- who calls --------------------------------------------------------------------------------

    def holder(self, agent: str | None) -> Holder:
        """Who claims: the agent named by the call or the settings, else the connection."""
        from dibs.verbs.holder import Holder, nameless

        name = agent or self.settings.agent
        return Holder(
            name=name or nameless(self.session),
            named=name is not None,
            session=self.session,
            lease=self.settings.lease,
        )

    def author(self, feature: int | None = None) -> str:
        """Who acts: the name under which this server issued the claim on `feature`, else the connection's."""
        issued = self._issued.get(feature) if feature is not None else None
        return issued[-1].name if issued else self.holder(None).name

    def claim_scope(self, agent: str | None) -> str:
        """Where a claim's request_id is unique: the agent's name, or the connection."""
        return agent or self.settings.agent or self.session

    # -- tokens -----------------------------------------------------------------------------------

    def remember(self, feature: int, token: str, name: str) -> None:
        """Remember a token, so that the holder may leave it out where that is unambiguous."""
        if all(one.token != token for one in self._issued[feature]):
            issued = self._by_token[token] = Issued(token, name, time.monotonic())
            self._issued[feature].append(issued)

    def token(self, feature: int, given: str | None, move: Kind) -> str | None:
        """The token that a call on `feature` carries: the one sent, or the only one it can mean.

        A claim that was lost is meant until proven otherwise, so that a late call is told so and does
        not pass for somebody else's. Raises TokenRequired where several claims could be meant.
        """
        issued = self._issued.get(feature, [])
        now = time.monotonic()
        for one in issued:
            one.touched = now
        if given is not None or not issued:
            return given
        if len(issued) > 1 and any(one.ended_by is None for one in issued):
            raise TokenRequired(
                f"This connection has claimed feature {feature} more than once, and the call does not say which "
                "claim it belongs to. Send claim_token from the claim's answer.",
                id=feature,
            )
        last = issued[-1]
        return last.token if last.ended_by in (None, move) else None

    def touch(self, feature: int) -> None:
        """Note that a call was about `feature`: its holder is at work."""
        for one in self._issued.get(feature, ()):
            one.touched = time.monotonic()

    async def move(
        self, feature: int, given: str | None, kind: Kind, verb: Callable[[Transaction, str, str | None], T]
    ) -> T:
        """Run a move of a claim with its author and token, and note how the claim ended."""
        meant: list[str | None] = []

        def run(tx: Transaction) -> T:
            # Only here are the claims known that were asked for before, in the same breath.
            token = self.token(feature, given, kind)
            meant.append(token)
            return verb(tx, self.author(feature), token)

        try:
            answer = await self.database.write(run)
        except ClaimLost:
            self._mark(meant[0], lost=True)
            raise
        if kind is not Kind.HEARTBEAT:
            self._mark(meant[0], ended_by=kind)
        return answer

    def _mark(self, token: str | None, *, lost: bool = False, ended_by: Kind | None = None) -> None:
        one = self._by_token.get(token) if token is not None else None
        if one is not None:
            one.lost |= lost
            one.ended_by = one.ended_by or ended_by

    # -- leases -----------------------------------------------------------------------------------

    async def keep_up(self) -> None:
        """Renew the leases issued here, every third of a lease, and reap what others left, for ever."""
        while True:
            await anyio.sleep(self.settings.lease / 3)
            await self._renew()
            await self._reap()

    async def _renew(self) -> None:
        from dibs.verbs.leases import renew

        while tokens := self._tokens_at_work():
            try:
                good = await self.database.write(
                    lambda tx, tokens=tokens: renew(tx, tokens),  # type: ignore[misc]
                    patience=RENEWAL_PATIENCE,
                    urgent=True,
                )
            except Busy:
                await anyio.sleep(RENEWAL_RETRY)
            except Refusal as refusal:
                logger.warning("leases were not renewed: %s", refusal)
                return
            else:
                for token in set(tokens) - good:
                    self._mark(token, lost=True)
                return

    def _tokens_at_work(self) -> list[str]:
        since = time.monotonic() - self.settings.hold_limit
        return [
            one.token
            for claims in self._issued.values()
            for one in claims
            if one.live and one.touched > since
        ]

    async def _reap(self) -> None:
        from dibs.verbs.leases import anything_run_out, reap

        try:
            if self.database.on_time and await self.database.read(anything_run_out):
                await self.database.write(reap)
        except Refusal as refusal:
            logger.info("the reaper rests: %s", refusal)

    def reaper(self) -> Callable[[Transaction], object] | None:
        """What takes back claims whose leases have run out, if it is time and this process may judge."""
        from dibs.verbs.leases import reap

        now = time.monotonic()
        if now - self._reaped_at < REAP_PAUSE or not self.database.on_time:
            return None
        self._reaped_at = now
        return reap

    async def end(self) -> None:
        """Give every claim back and close the database, in about half a second or not at all."""
        if any(one.live for one in self._by_token.values()):
            from dibs.verbs.leases import release_session

            try:
                await self.database.write(
                    lambda tx: release_session(tx, self.session), patience=RELEASE_PATIENCE, urgent=True
                )
            except Refusal as refusal:
                logger.warning("claims were not released and run out by themselves: %s", refusal)
        self.database.close()
