"""The backlog as a Python object: a method for each operation, claims as `async with` blocks, and a stream of events."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Unpack

import anyio.to_thread

from dibs.client.calls import RETRY_FOR, Calls
from dibs.client.claim import Claim

if TYPE_CHECKING:
    from dibs.client.calls import Link
    from dibs.client.links import Options
    from dibs_schema.answers import FollowedEvent


class Backlog(Calls):
    """One connection to a backlog; `async with Backlog.open() as backlog`, on asyncio.

    Answers are the models of `dibs_schema.answers`. Refusals are raised as the exceptions of `dibs_schema.refusals`,
    each with `code`, `message`, `retryable` and `details`. ServerGone is raised if the server ends or cannot be
    reached. The object remembers the token of each claim, and sends it with later calls on that feature.

    A call that finds the database `busy` is repeated for `retry_for` seconds. So is a call with an unknown outcome, if
    a `request_id`, a token or the operation itself prevents a second effect.
    """

    @classmethod
    def open(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractAsyncContextManager[Backlog]:
        """Open a backlog within this process. Its claims are released when the block ends.

        Raises InvalidInput for invalid options. A call raises the Unavailable refusals.
        """
        from dibs.client.links import in_process

        return cls._over(in_process(options), options.get("agent"), retry_for)

    @classmethod
    def start(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractAsyncContextManager[Backlog]:
        """Start a server process, and connect to it over stdio, as agents do.

        Raises InvalidInput for invalid options, and ServerGone if the server does not start.
        """
        from dibs.client.links import own_process

        return cls._over(own_process(options), options.get("agent"), retry_for)

    @classmethod
    def connect(
        cls, url: str, *, agent: str | None = None, retry_for: float = RETRY_FOR
    ) -> AbstractAsyncContextManager[Backlog]:
        """Connect to a server at a URL, such as http://127.0.0.1:3427/mcp. A call raises ServerGone.

        Over HTTP no connection proves that a claim's holder is alive. So leases are longer, and each call on the
        feature renews its lease; a `claim` block renews it by itself. Give an `agent`, so that the server can
        distinguish your calls.
        """
        from dibs.client.links import over_http

        return cls._over(over_http(url), agent, retry_for)

    @classmethod
    @asynccontextmanager
    async def _over(
        cls, link: AbstractAsyncContextManager[Link], agent: str | None, retry_for: float
    ) -> AsyncIterator[Backlog]:
        from dibs.client.link_lifetime import in_own_task

        async with in_own_task(link) as entered:
            backlog = cls(entered, agent=agent, retry_for=retry_for)
            try:
                yield backlog
            finally:
                await backlog._tasks.settle()

    def claim(
        self,
        feature_id: int | None = None,
        *,
        category: str | None = None,
        wait_seconds: float = 0,
        agent: str | None = None,
        resume: bool = False,
        timeout: float | None = None,
    ) -> Claim:
        """Claim a feature for a block: `async with backlog.claim() as feature`. The arguments are those of `take`.

        After `timeout` seconds the block is cancelled, the feature fails, and the block raises TimeoutError.

        The end of the block passes the feature, with `feature.evidence` if that is set. An Exception marks it as
        failing, with the exception's message (for a group, the messages in it), and propagates. A cancellation,
        KeyboardInterrupt or SystemExit releases the claim, even before the claim is answered. If it comes after the
        end of the block, the feature still passes or fails. If the block itself has passed, failed, skipped or
        released the feature, or asked a person, its end does nothing.

        Raises NothingToClaim at the start, and ClaimLost or another Refusal at the end, if the pass is refused.
        """
        options = {"category": category, "wait_seconds": wait_seconds, "agent": agent, "resume": resume}
        return Claim(self, {"feature_id": feature_id, **options}, self._tasks, timeout)

    async def follow(self, after: str | None = None) -> AsyncGenerator[FollowedEvent, None]:
        """Yield every event of the project once, as it happens, without end. Reads the database directly.

        `after` is the `cursor` of the event to continue after, or "0-0" for the beginning. Without it, the stream
        begins with the first event after its first `__anext__`.
        Raises InvalidInput for an invalid cursor, and RuntimeError on a connection by URL.
        """
        if self._link.event_log is None:
            raise RuntimeError(
                "events cannot be followed by URL: use Backlog.open() on a machine that has the database"
            )
        queries = await anyio.to_thread.run_sync(importlib.import_module, "dibs.queries.follow")  # imports SQLAlchemy
        with self._link.event_log() as database:
            async for events in queries.watch(database, after):
                for event in events:
                    yield event
