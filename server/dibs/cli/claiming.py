"""`dibs claim`: get work, and be sure to have it or not to have it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.calling import Call
from dibs.cli.options import flush
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.refusals import Busy, OutcomeUnknown, Refusal

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction
    from dibs.rules.claimant import Holder
    from dibs.rules.idempotency import Request
    from dibs.session.token_files import Shelf

UNDELIVERED = 2.0
"""Seconds for giving a claim back whose shell has gone."""

Got = Claimed | Idle | Acknowledgement


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    feature: int | None
    category: str | None
    wait: float
    resume: bool
    brief: bool
    request_id: str | None

    def request(self, scope: str) -> Request | None:
        """The idempotency key, if one was given."""
        from dibs.rules.idempotency import Request

        asked = {"feature_id": self.feature, "category": self.category, "resume": self.resume}
        return Request.of(self.request_id, "feature_claim_and_get", asked, scope)


class Claiming:
    """One claim: made, kept and told, or taken back where it could not be told."""

    def __init__(self, call: Call, database: Database, wish: Wish) -> None:
        self._database = database
        self._wish = wish
        self._holder: Holder = call.claimant()
        self._request = wish.request(call.author)
        self._patience = call.settings.patience
        self._shelf: Shelf = call.shelf(database)
        self._signal: int | None = None
        self._begun, self._over = False, False
        self._between = threading.Lock()  # the writer's thread, which begins, and the one that gives up

    def run(self, deliver: Callable[[Got], object]) -> Got:
        """Claim, keep the token, and `deliver` the answer. A signal, or nobody to read, takes the claim back.

        Raises SystemExit for a signal, OSError where the answer could not be written, and what a claim is
        refused with.
        """
        answer: Got | None = None
        in_hand = True
        try:
            answer = anyio.run(self._until_signal)
            if answer is not None:
                self._keep(answer)
                deliver(answer)
                flush()
            in_hand = answer is None
        except Refusal as refusal:
            # Of a claim in doubt, the same request, or taking back what the name holds, finds out.
            in_hand = isinstance(refusal, OutcomeUnknown) and not (self._request or self._wish.resume)
            raise
        finally:
            if in_hand:
                self._take_back()
        if answer is None:
            assert self._signal is not None, "nothing else ends the wait without an answer"
            self._database.close()  # at once, and not when the database is free
            sys.exit(128 + self._signal)
        return answer

    async def _until_signal(self) -> Got | None:
        """The answer; None where a signal came first. Raises what the claim is refused with."""
        answer: Got | None = None
        refused: Refusal | None = None
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, signals, group.cancel_scope)
                try:
                    answer = await self._claim()
                except Refusal as refusal:  # raised out of the group, it would come as one of several
                    refused = refusal
                group.cancel_scope.cancel()
        if refused is not None and self._signal is None:
            raise refused
        return None if self._signal else answer

    async def _listen(self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        async for one in signals:
            self._signal = int(one)
            scope.cancel()

    async def _claim(self) -> Got:
        from dibs.database import VerbJob
        from dibs.session.waiting import Waiting
        from dibs.verbs.lease import REAPING

        if self._wish.brief:
            return await self._database.write(VerbJob(self._mark, upkeep=REAPING))

        async def attempt(patience: float) -> Claimed | Idle:
            return await self._database.write(VerbJob(self._take, upkeep=REAPING), patience=patience)

        return await Waiting(self._database, self._wish.category, self._wish.wait, self._patience).claim(
            attempt
        )

    def _mark(self, tx: Transaction) -> Acknowledgement:
        from dibs.verbs.claim import mark_in_progress

        assert self._wish.feature is not None, "checked at the edge"
        self._begin()
        return mark_in_progress(tx, self._holder, self._wish.feature)

    def _take(self, tx: Transaction) -> Claimed | Idle:
        from dibs.rules.idempotency import once
        from dibs.verbs.claim import claim, hold_again

        self._begin()
        wish, holder = self._wish, self._holder
        fresh = partial(claim, tx, holder, wish.feature, category=wish.category, resume=wish.resume)
        return once(tx, self._request, Claimed, fresh, replay=partial(hold_again, tx, holder))

    def _begin(self) -> None:
        """Note that there may be a claim to be taken back. Raises Busy where it was given up before."""
        with self._between:
            if self._over:
                raise Busy("The command has ended. Nothing was changed.")
            self._begun = True

    def _keep(self, answer: Got) -> None:
        """Keep the token for the next commands of this shell, and forget those whose claims are over."""
        if isinstance(answer, Idle):
            return
        feature, token = claim_of(answer)
        forget_ended(self._database, self._shelf)
        try:
            self._shelf.keep(feature, token)
        except OSError as error:
            words = f"dibs: the token could not be kept in .dibs/ ({error.strerror}). Send it with --token."
            click.echo(words, err=True)

    def _take_back(self) -> None:
        from dibs.rules.idempotency import forget
        from dibs.verbs.lease import renew
        from dibs.verbs.release import undeliver

        with self._between:
            self._over = True
            if not self._begun:
                return
        token: Any = self._holder.fresh

        def undo(tx: Transaction) -> None:
            if token in renew(tx, [token]):  # what was replayed was made by another call
                undeliver(tx, self._holder.name, token)
                forget(tx, self._request)

        with contextlib.suppress(Refusal):  # then its lease runs out by itself
            self._database.write_now(undo, UNDELIVERED)
        for kept in self._shelf.all():
            if kept.token == token:
                self._shelf.drop(kept.feature, token)


def claim_of(answer: Claimed | Acknowledgement) -> tuple[int, str]:
    """The feature that was claimed, and the claim's token."""
    if isinstance(answer, Claimed):
        return answer.feature.id, answer.claim.token
    assert answer.token is not None, "a claim's acknowledgement has one"
    return answer.id, answer.token


def forget_ended(database: Database, shelf: Shelf) -> None:
    """Keep the tokens of claims no longer that have ended: who goes on to the next has been told, or never asked."""
    from dibs.rules.diagnosis import holder_of

    kept = shelf.all()
    if not kept:
        return
    ended = database.read_now(
        lambda tx: [one for one in kept if holder_of(tx, one.feature, one.token) is None]
    )
    for one in ended:
        shelf.drop(one.feature, one.token)
