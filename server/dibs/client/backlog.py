"""The backlog as an object of a harness: a method for each operation, claims as blocks, and the events as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Unpack

import anyio.to_thread

from dibs.client.calls import RETRY_FOR, Calls
from dibs.client.claim import Claim

if TYPE_CHECKING:
    from dibs.client.calls import Link
    from dibs.client.links import Options
    from dibs_schema.answers import FollowedEvent


class Backlog(Calls):
    """One connection to a backlog; `async with Backlog.open() as backlog`, on asyncio.

    Answers are the models of `dibs_schema.answers`; refusals are raised as the exceptions of
    `dibs_schema.refusals`, each with `code`, `message`, `retryable` and `details`. ServerGone is raised where
    the server ended or went out of reach. Claims remember their token, and later calls on that feature send it.

    `retry_for` is in seconds: a call that found the database `busy` is repeated for so long; one whose outcome
    is unknown likewise, where a `request_id`, a token or the tool's nature keeps it from acting twice.
    """

    @classmethod
    def open(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractAsyncContextManager[Backlog]:
        """A backlog served within this process. Its claims are given back when the block ends.

        A call raises InvalidInput where the options do not fit, and the Unavailable refusals.
        """
        from dibs.client.links import in_process

        return cls._over(in_process(options), options.get("agent"), retry_for)

    @classmethod
    def start(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractAsyncContextManager[Backlog]:
        """A backlog with a server process of its own, over stdio, as agents have it.

        Raises InvalidInput where the options do not fit, and ServerGone where no server comes up.
        """
        from dibs.client.links import own_process

        return cls._over(own_process(options), options.get("agent"), retry_for)

    @classmethod
    def connect(
        cls, url: str, *, agent: str | None = None, retry_for: float = RETRY_FOR
    ) -> AbstractAsyncContextManager[Backlog]:
        """A backlog that is served at a URL, such as http://127.0.0.1:3427/mcp; a call raises ServerGone.

        No connection shows there that a claim's holder lives: its lease is longer, and each call on the
        feature renews it; a block does so by itself. Claims want an `agent`, whose calls can be told apart.
        """
        from dibs.client.links import over_http

        return cls._over(over_http(url), agent, retry_for)

    @classmethod
    @asynccontextmanager
    async def _over(
        cls, link: AbstractAsyncContextManager[Link], agent: str | None, retry_for: float
    ) -> AsyncIterator[Backlog]:
        from dibs.client.hosting import hosted

        async with hosted(link) as entered:
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
    ) -> Claim:
        """Hold a feature for a block: `async with backlog.claim() as feature`. The arguments are those of `take`.

        The block's end passes the feature, with `feature.evidence` if that was set. An Exception marks it as
        failing, with the exception's text (of a group, that of each exception in it), and goes on. A
        cancellation, KeyboardInterrupt or SystemExit gives the claim back, also one that was not yet answered.
        A block that had ended by then still passes or fails. Where the block has itself passed, failed, skipped
        or released it, or asked a person, its end does nothing.
        Raises NothingToClaim at the start; ClaimLost, or another Refusal, at the end, if it could not be passed.
        """
        asked = {"category": category, "wait_seconds": wait_seconds, "agent": agent, "resume": resume}
        return Claim(self, {"feature_id": feature_id, **asked}, self._tasks)

    async def follow(self, after: str | None = None) -> AsyncGenerator[FollowedEvent, None]:
        """What happens in the project, by any process, as it happens: every event once, for ever.

        `after` is the `cursor` of an event, to go on after it, or "0-0" for the beginning; without it, the
        stream begins with what happens after its first `__anext__`. Reads the database itself.
        Raises InvalidInput for a cursor that is none, and RuntimeError on a connection by URL.
        """
        if self._link.event_log is None:
            raise RuntimeError(
                "a URL leads to no journal: follow it with Backlog.open() where the database is in reach"
            )
        watch = await anyio.to_thread.run_sync(_load_watch)
        with self._link.event_log() as database:
            async for events in watch(database, after):
                for event in events:
                    yield event


def _load_watch() -> Any:
    """The loop over the journal, which brings the database's library."""
    from dibs.queries.follow import watch

    return watch
