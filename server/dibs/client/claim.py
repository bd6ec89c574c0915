"""A claim that lasts as long as an `async with` block, whose end decides the outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dibs.client.calls import Calls, ServerGone
from dibs_schema.answers import Idle, IdleState, Lease, Work
from dibs_schema.evidence import EvidenceFields
from dibs_schema.refusals import ClaimLost, NotClaimed, NotFound, Refusal
from dibs_schema.sanitize import clean
from dibs_schema.status import OUTCOMES, Outcome

if TYPE_CHECKING:
    from dibs.client.tasks import Tasks

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 600.0
"""Seconds between two renewals if the server does not renew: a third of the lease, within these bounds."""
REASON_LIMIT = 2_000
POLL = 0.2
"""Seconds between two looks for the end of a claim."""


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

    Set `evidence` (a string, EvidenceFields or a dict of its fields) to show that the feature works. The end of the
    block sends it.
    """

    claim: Lease
    evidence: EvidenceFields | dict[str, Any] | str | None = None


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
        self._earlier_events: int | None = None

    async def __aenter__(self) -> ClaimedFeature:
        self._held, self._timeout, self._entering = None, None, asyncio.current_task()
        self._earlier_events = None
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

    async def hand_over(self) -> dict[str, str]:
        """Give the claim to an agent that the block starts, and return the environment variables for its process.

        The agent's server, or a Python client there, adopts the claim: it renews it, ends it, and claims nothing else.
        The connection of this object neither renews nor releases it any more, and the normal end of the block leaves it
        alone. An exception or a cancellation still fails or releases it, unless the agent has ended it.

        Raises RuntimeError outside the block, and ClaimLost.
        """
        held = self._held
        if held is None:
            raise RuntimeError("a claim is handed over within its block")
        earlier = (await self._backlog.history(held.id, limit=1)).total
        held.claim, environment = await self._backlog.hand_over(held.id, held.claim)
        self._earlier_events = earlier
        if self._renewal is not None:
            self._renewal.cancel()
        return environment

    async def outcome(self, wait_seconds: float = 0) -> Outcome | None:
        """Return how the agent's claim has ended, or None while it lives. Waits for its end for up to `wait_seconds`.

        "released" comes with the end of the agent's server, too; after a restart with the same claim it lives again.
        Raises RuntimeError if the claim was not handed over.
        """
        held = self._held
        if held is None or self._earlier_events is None:
            raise RuntimeError("the claim was not handed over")
        deadline = time.monotonic() + wait_seconds
        while (ended := await self._find_outcome(held.id, self._earlier_events)) is None:
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(POLL)
        return ended

    async def _find_outcome(self, feature: int, earlier: int) -> Outcome | None:
        page = await self._backlog.history(feature)
        events, total = page.events, page.total
        while len(events) < total - earlier and page.next_cursor is not None:
            page = await self._backlog.history(feature, cursor=page.next_cursor)
            events = events + page.events
        ended: Outcome | None = None
        for event in reversed(events[: total - earlier]):
            if event.kind == "resume" and event.from_status == "pending" and ended == "released":
                ended = None  # the agent's server was started again
            elif event.from_status == "in_progress" and event.to_status is not None and ended is None:
                ended = OUTCOMES.get(event.kind)
            elif event.kind == "claim":
                break  # another's
        return ended

    async def _end(self, held: ClaimedFeature, error: BaseException | None) -> None:
        if self._earlier_events is not None:
            if error is not None:
                await self._tasks.finish(self._recall(held, error))
            return
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
                lease = (feature.expires_at - feature.updated_at).total_seconds()
                pause = min(max(lease / 3, SHORTEST_PAUSE), LONGEST_PAUSE)
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

    async def _recall(self, held: ClaimedFeature, error: BaseException) -> None:
        """End a claim that was handed over, unless the agent has."""
        with suppress(Refusal, ServerGone):
            if not isinstance(error, Exception):
                await self._backlog.release(held.id, held.claim.token)
                return
            # With the token of a pass, a failure would be the report of a regression; a heartbeat is refused then.
            await self._backlog.heartbeat(held.id, held.claim.token)
            await self._backlog.mark_failing(held.id, _reason(error), held.claim.token)

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
