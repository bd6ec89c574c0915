"""The backlog as a Python object: a method for each operation, claims as `async with` blocks, and a stream of events."""

from __future__ import annotations

import importlib
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Unpack

import anyio.to_thread

from dibs.client.calls import RETRY_FOR, Calls
from dibs.client.claim import Claim
from dibs.client.signals import before_signals, in_thread
from dibs.platform.signals import CLOSED_TERMINAL
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.client.calls import Link
    from dibs.client.links import Options
    from dibs.database import Database
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

        They are released at SIGTERM and SIGHUP too, which then end the process as always, if this is the main thread
        and the program has no handler of its own. So are the claims of `connect`; a server of `start` sees the end.

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
                with backlog.released_at_termination():
                    yield backlog
            finally:
                backlog._closed = True
                await backlog._tasks.settle()

    def released_at_termination(self) -> AbstractContextManager[None]:
        """Release the claims when SIGTERM or SIGHUP ends the process, if the program has no handler of its own."""
        release = self._link.release_now
        if release is None:
            return nullcontext()
        ending = (signal.SIGTERM, CLOSED_TERMINAL)
        return before_signals(ending, signal.SIG_DFL, lambda: in_thread(lambda: release(dict(self._tokens))))

    def claim(
        self,
        feature_id: int | None = None,
        *,
        category: str | None = None,
        wait_seconds: float = 0,
        agent: str | None = None,
        resume: bool = False,
        force: bool = False,
        timeout: float | None = None,
    ) -> Claim:
        """Claim a feature for a block: `async with backlog.claim() as feature`. It takes the arguments of `take`.

        After `timeout` seconds the block is cancelled, the feature fails, and the block raises TimeoutError.

        The end of the block passes the feature, with `feature.evidence` if that is set. An Exception marks it as
        failing, with the exception's message (for a group, the messages in it), and propagates. A cancellation,
        KeyboardInterrupt or SystemExit releases the claim, even before the claim is answered. If it comes after the
        end of the block, the feature still passes or fails. If the block itself has passed, failed, skipped or
        released the feature, or asked a person, its end does nothing.

        Raises NothingToClaim at the start, and ClaimLost or another Refusal at the end, if the pass is refused.
        """
        options = {"category": category, "wait_seconds": wait_seconds, "agent": agent, "resume": resume, "force": force}
        return Claim(self, {"feature_id": feature_id, **options}, self._tasks, timeout)

    def follow(self, after: str | None = None) -> AsyncGenerator[FollowedEvent, None]:
        """Yield every event of the project once, as it happens, until the backlog closes. Reads the database directly.

        `after` is the `cursor` of the event to continue after, or "0-0" for the beginning. Without it, the stream
        begins with the first event after its first `__anext__`.
        Raises RuntimeError at once on a connection by URL, and InvalidInput for an invalid cursor.
        """
        if self._link.event_log is None:
            raise RuntimeError(
                "events cannot be followed by URL: use Backlog.open() on a machine that has the database"
            )
        return self._followed(self._link.event_log, after)

    async def _followed(
        self, event_log: Callable[[], AbstractContextManager[Database]], after: str | None
    ) -> AsyncGenerator[FollowedEvent, None]:
        queries = await anyio.to_thread.run_sync(importlib.import_module, "dibs.queries.follow")  # imports SQLAlchemy
        with event_log() as database:
            try:
                async for events in queries.watch(database, after):
                    for event in events:
                        yield event
                    if self._closed:
                        return
            except Refusal:
                if not self._closed:
                    raise
