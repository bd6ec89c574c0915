"""A claim that lasts as long as an `async with` block, whose end decides the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dibs.client.calls import Calls, ServerGone
from dibs_schema.answers import Idle, IdleState, Lease, Work
from dibs_schema.inputs import EvidenceFields
from dibs_schema.refusals import ClaimLost, NotClaimed, NotFound, Refusal
from dibs_schema.sanitize import clean

if TYPE_CHECKING:
    from dibs.client.tasks import Tasks

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 600.0
"""Seconds between two renewals if the server does not renew: a third of the lease, within these bounds."""
REASON_LIMIT = 2_000


class NothingToClaim(Exception):  # noqa: N818 - it names what has happened
    """There is nothing to claim now. `state` and `idle` say why, and `idle.retry_after_seconds` when to ask again."""

    def __init__(self, idle: Idle) -> None:
        super().__init__(idle)
        self.idle = idle

    def __str__(self) -> str:
        return f"{self.state}: {self.idle.message}"

    @property
    def state(self) -> IdleState:
        """The reason: `complete`, `empty`, `waiting_for_claims`, `waiting_for_back_off`, `waiting_for_human` and so on."""
        return self.idle.state

    @property
    def is_final(self) -> bool:
        """Whether no feature will become ready unless somebody adds one, answers, or puts a stuck one back."""
        return self.state not in ("waiting_for_claims", "waiting_for_back_off")


class ClaimedFeature(Work):
    """The feature of a `claim` block: its texts, dependencies, earlier failures and notes.

    Set `evidence` (a string or EvidenceFields) to show that the feature works. The end of the block sends it.
    """

    claim: Lease
    evidence: EvidenceFields | str | None = None


class Claim:
    """`async with backlog.claim() as feature:` holds the feature for the block; see `Backlog.claim`."""

    def __init__(self, backlog: Calls, asked: dict[str, Any], tasks: Tasks, timeout: float | None = None) -> None:
        self._backlog = backlog
        self._tasks = tasks
        self._asked = asked
        self._seconds = timeout
        self._timeout: asyncio.Timeout | None = None
        self._held: ClaimedFeature | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> ClaimedFeature:
        self._held, self._timeout, self._entering = None, None, asyncio.current_task()
        answer = await self._backlog.take(**self._asked)
        if isinstance(answer, Idle):
            raise NothingToClaim(answer)
        texts = {name: getattr(answer.feature, name) for name in Work.model_fields}
        self._held = ClaimedFeature.model_construct(claim=answer.claim, evidence=None, **texts)
        if not self._backlog.renews_leases:
            self._renewal = asyncio.create_task(self._renew_lease(self._held))
        if self._seconds is not None:
            self._timeout = asyncio.timeout(self._seconds)
            await self._timeout.__aenter__()
        return self._held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        held = self._held
        assert held is not None, "the block was entered"
        if self._renewal is not None:
            self._renewal.cancel()
        if self._timeout is not None:
            try:
                await self._timeout.__aexit__(kind, error, traceback)
            except TimeoutError:
                late = TimeoutError(f"the claim's timeout of {self._seconds:g} s has passed")
                await self._end(held, late)
                raise late from error
        await self._end(held, error)

    async def _end(self, held: ClaimedFeature, error: BaseException | None) -> None:
        if not self._backlog.holds(held.id, held.claim.token):
            return  # the block has ended the claim itself
        if error is None:
            await self._tasks.finish(self._pass(held))
        elif isinstance(error, Exception):
            await self._tasks.finish(self._fail(held, error))
        else:  # cancelled or interrupted: nothing is wrong with the feature
            await self._tasks.briefly(self._give_back(held))

    async def abandon(self) -> None:
        """Release the claim if the block never begins."""
        if self._entering is not None and not self._entering.done():
            self._entering.cancel()
            await asyncio.wait({self._entering})
        if self._held is not None:
            await self.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)

    async def _renew_lease(self, held: ClaimedFeature) -> None:
        """Renew the lease, since no connection does. A lost claim is reported when the block ends."""
        pause = SHORTEST_PAUSE
        with suppress(Refusal, ServerGone):
            feature = await self._backlog.get(held.id)
            if feature.expires_at is not None and feature.updated_at is not None:  # by the server's clock alone
                pause = min(max((feature.expires_at - feature.updated_at) / 3, SHORTEST_PAUSE), LONGEST_PAUSE)
        while self._backlog.holds(held.id, held.claim.token):
            await asyncio.sleep(pause)
            try:
                await self._backlog.heartbeat(held.id, held.claim.token)
            except (ClaimLost, NotClaimed, NotFound):
                return
            except (Refusal, ServerGone):
                pass  # the next call may succeed

    async def _pass(self, held: ClaimedFeature) -> None:
        try:
            await self._backlog.mark_passing(held.id, held.claim.token, held.evidence)
        except ClaimLost:
            raise
        except BaseException:  # nobody else would end the claim
            await self._give_back(held)
            raise

    async def _fail(self, held: ClaimedFeature, error: Exception) -> None:
        try:
            await self._backlog.mark_failing(held.id, _reason(error), held.claim.token)
        except (Refusal, ServerGone) as why:  # the block's own error matters more
            error.add_note(f"Feature {held.id} was not marked as failing: {why}")
            await self._give_back(held)

    async def _give_back(self, held: ClaimedFeature) -> None:
        with suppress(Refusal, ServerGone):
            await self._backlog.release(held.id, held.claim.token)


def _reason(error: Exception) -> str:
    """Return an exception as the reason of a failure: not empty, and at most REASON_LIMIT characters."""
    leaves = (f"{type(leaf).__name__}: {clean(str(leaf)).strip()}" for leaf in leaf_errors(error))
    described = dict.fromkeys(leaf[:REASON_LIMIT].rstrip(": ") for leaf in leaves)
    return "; ".join(described)[:REASON_LIMIT].rstrip(": ")


def leaf_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group and in its nested groups, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaf_errors(one)
    else:
        yield error
