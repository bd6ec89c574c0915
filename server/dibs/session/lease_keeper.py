"""Renews the leases of a connection's claims, reaps expired claims of any holder, and finishes interrupted imports."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from dibs.database import Database, VerbJob
from dibs.session.issued_tokens import IssuedTokens
from dibs.settings import Settings
from dibs_schema.refusals import Busy, OutcomeUnknown, Refusal

if TYPE_CHECKING:
    from dibs.database.transaction import Transaction

logger = logging.getLogger(__name__)

RENEWAL_PATIENCE = 0.5
RENEWAL_RETRY = 1.0
RELEASE_PATIENCE = 0.4
"""Seconds for one renewal, between two tries (less with a short lease), and for the release at the end."""


class LeaseKeeper:
    """Renews the leases of the claims in `tokens`, issued on `connection`. Without a connection it only reaps."""

    def __init__(
        self, database: Database, settings: Settings, connection: str | None, tokens: IssuedTokens | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._connection = connection
        self._tokens = tokens
        self._renewed_at = time.monotonic()  # of the last renewal, or of the last time without a claim

    async def run(self) -> None:
        """Renew, reap and finish imports every third of a lease, until cancelled."""
        with self._database.after_each_write(self._overdue):
            while True:
                await anyio.sleep(self._settings.lease / 3)
                await self._renew()
                await self._reap()
                await self._finish_import()

    def _overdue(self) -> Callable[[Transaction], object] | None:
        """Return a verb that renews the leases if their renewal is overdue, else None.

        A lock that outlasts a lease delays every renewal. After the lock, this process writes before any later process
        that would reap; but its turn may already belong to another call.
        """
        from dibs.verbs.lease import renew

        if self._tokens is None or time.monotonic() - self._renewed_at < self._settings.lease / 2:
            return None
        tokens = self._tokens.at_work(self._settings.hold_limit)
        return partial(renew, tokens=tokens) if tokens else None

    async def _renew(self) -> None:
        from dibs.verbs.lease import renew

        if self._tokens is None:
            return
        while tokens := self._tokens.at_work(self._settings.hold_limit):
            began = time.monotonic()
            try:
                renewed = await self._database.write(
                    VerbJob(partial(renew, tokens=tokens), exclusive=False), patience=RENEWAL_PATIENCE, urgent=True
                )
            except (Busy, OutcomeUnknown):
                await anyio.sleep(min(RENEWAL_RETRY, self._settings.lease / 20))
            except Refusal as refusal:
                logger.warning("leases were not renewed: %s", refusal)
                return
            else:
                self._tokens.lose(set(tokens) - renewed)
                self._renewed_at = began
                if time.monotonic() - began < self._settings.lease / 3:
                    return  # else the leases began before a long wait, and must be renewed again
        self._renewed_at = time.monotonic()  # no lease began earlier

    async def _reap(self) -> None:
        from dibs.verbs.lease import REAPING

        try:
            if self._database.on_time and await self._database.read(REAPING.is_due):
                await self._database.write(VerbJob(lambda _: None, upkeep=REAPING))
        except Refusal as refusal:
            logger.info("expired leases were not ended: %s", refusal)

    async def _finish_import(self) -> None:
        """Add the parts of a published import that are missing, since its process may have ended."""
        from dibs.rules.unfinished_imports import is_unfinished
        from dibs.verbs.staged_import import add_part

        try:
            if await self._database.read(is_unfinished):
                while await self._database.write(add_part):
                    pass
        except Refusal as refusal:
            logger.info("an import was not finished: %s", refusal)

    async def end(self) -> None:
        """Release every claim and close the database. This takes about half a second at most."""
        connection = self._connection
        if connection is not None and self._tokens is not None and self._tokens.any_live():
            from dibs.verbs.lease import release_session

            counts = self._settings.claim is not None
            try:
                await self._database.write(
                    lambda tx: release_session(tx, connection, counts=counts), patience=RELEASE_PATIENCE, urgent=True
                )
            except Refusal as refusal:
                logger.warning("claims were not released; their leases will expire: %s", refusal)
                self._database.close(patience=0)  # the writer is still blocked
        self._database.close()
