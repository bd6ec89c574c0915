"""A claim that lasts as long as a block, and ends as the block ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dibs.client.calls import Calls, ServerGone
from dibs_schema.answers import Claimed, Idle, IdleState, Lease, Work
from dibs_schema.inputs import EvidenceFields
from dibs_schema.refusals import ClaimLost, NotClaimed, NotFound, Refusal
from dibs_schema.sanitize import clean

if TYPE_CHECKING:
    from dibs.client.tasks import Tasks

SOONEST, LATEST = 1.0, 600.0
"""Seconds between two renewals where the server makes none: a third of the lease, within these bounds."""
LONGEST_REASON = 2_000


class NothingToClaim(Exception):  # noqa: N818 - it is what was found
    """There is nothing to claim now. `state` and `idle` say why, and `idle.retry_after_seconds` when to ask again.

    `is_final` is true unless the work of others or time may still bring something.
    """

    def __init__(self, idle: Idle) -> None:
        super().__init__(idle)
        self.idle = idle

    def __str__(self) -> str:
        return f"{self.state}: {self.idle.message}"

    @property
    def state(self) -> IdleState:
        """Why: `complete`, `empty`, `waiting_for_claims`, `waiting_for_back_off`, `waiting_for_human` and so on."""
        return self.idle.state

    @property
    def is_final(self) -> bool:
        """Whether nothing will come until somebody adds features, answers, or puts a stuck one back."""
        return self.state not in ("waiting_for_claims", "waiting_for_back_off")


class ClaimedFeature(Work):
    """The feature that a block works on: its texts, what it depends on, earlier failures and notes.

    Set `evidence` to what shows that it works (a text, or EvidenceFields); it is sent when the block passes.
    """

    claim: Lease
    evidence: EvidenceFields | str | None = None


class Claim:
    """`async with backlog.claim() as feature:` holds the feature for the block; see `Backlog.claim`."""

    def __init__(self, backlog: Calls, asked: dict[str, Any], tasks: Tasks) -> None:
        self._backlog = backlog
        self._tasks = tasks
        self._asked = asked
        self._held: ClaimedFeature | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> ClaimedFeature:
        self._held, self._entering = None, asyncio.current_task()
        answer = await self._backlog.take(**self._asked)
        if isinstance(answer, Idle):
            raise NothingToClaim(answer)
        self._held = _held(answer)
        if not self._backlog.renews_leases:
            self._keeper = asyncio.create_task(self._keep(self._held))
        return self._held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        held = self._held
        assert held is not None, "the block was entered"
        if self._keeper is not None:
            self._keeper.cancel()
        if not self._backlog.holds(held.id, held.claim.token):
            return  # the block has ended the claim itself, and said how
        if error is None:
            await self._tasks.finish(self._pass(held))
        elif isinstance(error, Exception):
            await self._tasks.finish(self._fail(held, error))
        else:  # cancelled or interrupted: nothing is wrong with the feature
            await self._tasks.briefly(self._give_back(held))

    async def abandon(self) -> None:
        """Give back what was entered, or is about to be, where the block never begins."""
        if self._entering is not None and not self._entering.done():
            self._entering.cancel()
            await asyncio.wait({self._entering})
        if self._held is not None:
            await self.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)

    async def _keep(self, held: ClaimedFeature) -> None:
        """Renew the lease, which no connection does; a claim that was lost is told when the block ends."""
        pause = SOONEST
        with suppress(Refusal, ServerGone):
            pause = await self._pause(held)
        while self._backlog.holds(held.id, held.claim.token):
            await asyncio.sleep(pause)
            try:
                await self._backlog.heartbeat(held.id, held.claim.token)
            except (ClaimLost, NotClaimed, NotFound):
                return
            except (Refusal, ServerGone):
                pass  # it may answer the next time

    async def _pause(self, held: ClaimedFeature) -> float:
        """A third of the lease, in seconds: how long it lasted when it was last begun, by the server's clock alone."""
        seen = await self._backlog.get(held.id)
        if seen.expires_at is None or seen.updated_at is None:
            return SOONEST
        return min(max((seen.expires_at - seen.updated_at) / 3, SOONEST), LATEST)

    async def _pass(self, held: ClaimedFeature) -> None:
        try:
            await self._backlog.mark_passing(held.id, held.claim.token, held.evidence)
        except ClaimLost:
            raise
        except BaseException:  # refused: nobody would end the claim
            await self._give_back(held)
            raise

    async def _fail(self, held: ClaimedFeature, error: Exception) -> None:
        try:
            await self._backlog.mark_failing(held.id, _reason(error), held.claim.token)
        except (Refusal, ServerGone) as why:  # the block's own error is the news
            error.add_note(f"Feature {held.id} was not marked as failing: {why}")
            await self._give_back(held)

    async def _give_back(self, held: ClaimedFeature) -> None:
        with suppress(Refusal, ServerGone):
            await self._backlog.release(held.id, held.claim.token)


def _held(answer: Claimed) -> ClaimedFeature:
    known = {name: getattr(answer.feature, name) for name in Work.model_fields}
    return ClaimedFeature.model_construct(claim=answer.claim, evidence=None, **known)


def _reason(error: Exception) -> str:
    """What went wrong, as a reason: never empty, and no longer than one may be; of a group, what is in it."""
    return "; ".join(dict.fromkeys(_told(leaf) for leaf in leaves(error)))[:LONGEST_REASON].rstrip(": ")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {clean(str(error)).strip()}"[:LONGEST_REASON].rstrip(": ")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What is in a group, and in the groups within it; else the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error
