"""The client for code without an event loop: the loop runs in another thread."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from anyio.from_thread import start_blocking_portal

from dibs.client.backlog import Backlog
from dibs.client.calls import CLOSED, RETRY_FOR, ServerGone
from dibs.client.signals import before_signals
from dibs.platform.signals import ENDING
from dibs_schema.answers import Answer
from dibs_schema.operations import Operation, Operations

if TYPE_CHECKING:
    from dibs.client.claim import Claim, ClaimedFeature
    from dibs.client.links import Options
    from dibs_schema.answers import FollowedEvent
    from dibs_schema.status import Outcome

T = TypeVar("T")
A = TypeVar("A", bound=Answer)


class Loop:
    """An event loop in another thread.

    `interrupt` ends the work of all threads but the main one. Their later calls raise SystemExit, except calls that are
    `ending` a claim.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._owner = os.getpid()
        self._lock = threading.RLock()  # a signal handler may run while this thread holds it
        self._closed = False
        self._interrupted = False
        self._calls: set[Future[Any]] = set()
        self._claims: set[Claim] = set()

    def close(self) -> None:
        """Refuse later calls, which would wait for a loop that has ended."""
        with self._lock:
            self._closed = True

    def interrupt(self) -> None:
        """Cancel the open calls of all threads but the main one, and release their claims."""
        with self._lock:
            if self._closed:
                return
            self._interrupted = True
            for call in list(self._calls):
                call.cancel()
            for claim in self._claims:
                asyncio.run_coroutine_threadsafe(claim.abandon(), self._loop)

    def hold(self, claim: Claim) -> None:
        """Let an interrupt release the claim of this thread. The main thread's own blocks end by themselves."""
        if not _is_main_thread():
            with self._lock:
                self._claims.add(claim)

    def drop(self, claim: Claim) -> None:
        """No longer let an interrupt release the claim that `hold` registered."""
        with self._lock:
            self._claims.discard(claim)

    def refuse_interrupted(self) -> None:
        """Raise SystemExit if an interrupt has ended the work of this thread."""
        if self._interrupted and not _is_main_thread():
            raise SystemExit(130)

    def refuse_closed(self) -> None:
        """Raise ServerGone after `close`."""
        if self._closed:
            raise ServerGone(CLOSED)

    def run(self, call: Callable[[], Coroutine[Any, Any, T]], *, ending: bool = False) -> T:
        """Run a call in the loop and wait for it. An interrupt cancels the call.

        Raises the call's exceptions, ServerGone after `close`, SystemExit after `interrupt`, and RuntimeError in a
        fork, which has no such thread.
        """
        if os.getpid() != self._owner:
            raise RuntimeError("a backlog does not survive a fork: open it in the child")
        future: Future[T] | None = None
        try:
            future = self._begin(call, ending=ending)
            return future.result()
        except CancelledError:
            self.refuse_interrupted()
            raise ServerGone(CLOSED) from None  # only the end of the loop cancels calls
        except BaseException:
            if future is not None:
                future.cancel()
            raise

    def _begin(self, call: Callable[[], Coroutine[Any, Any, T]], *, ending: bool) -> Future[T]:
        with self._lock:
            if not ending:
                self.refuse_interrupted()
            self.refuse_closed()
            future = asyncio.run_coroutine_threadsafe(call(), self._loop)
            if not (ending or _is_main_thread()):
                self._calls.add(future)
                future.add_done_callback(self._calls.discard)
            return future


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class SyncClaim:
    """`with backlog.claim() as feature:` claims a feature for the block; see `Backlog.claim`."""

    def __init__(self, loop: Loop, claim: Claim) -> None:
        self._loop = loop
        self._claim = claim

    def __enter__(self) -> ClaimedFeature:
        self._loop.hold(self._claim)
        try:
            return self._loop.run(self._claim.__aenter__)
        except BaseException:  # an interrupt may come when the claim was made but not yet returned
            self._loop.drop(self._claim)
            with suppress(ServerGone):
                self._loop.run(self._claim.abandon, ending=True)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.drop(self._claim)
        self._loop.run(partial(self._claim.__aexit__, kind, error, traceback), ending=True)
        if error is None:
            self._loop.refuse_interrupted()

    def hand_over(self) -> dict[str, str]:
        """Give the claim to an agent, and return the environment variables for its process; see `Claim.hand_over`."""
        return self._loop.run(self._claim.hand_over)

    def outcome(self, wait_seconds: float = 0) -> Outcome | None:
        """Return how the agent's claim has ended, or None while it lives; see `Claim.outcome`."""
        return self._loop.run(partial(self._claim.outcome, wait_seconds))


class SyncBacklog(Operations):
    """A `Backlog` whose methods wait for their answers; `with SyncBacklog.open() as backlog`.

    Several threads may use it. It has the methods of `Backlog`, which raise the same exceptions.

    Ctrl-C stops all of them, if the backlog was opened in the main thread: that gets KeyboardInterrupt as always, the
    claims of the other threads are released at once, and their calls raise SystemExit, which ends a thread silently.
    """

    def __init__(self, loop: Loop, backlog: Backlog) -> None:
        self._loop = loop
        self._backlog = backlog

    @classmethod
    def open(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractContextManager[SyncBacklog]:
        """Open a backlog within this process; see `Backlog.open`."""
        return cls._over(partial(Backlog.open, retry_for=retry_for, **options))

    @classmethod
    def start(cls, *, retry_for: float = RETRY_FOR, **options: Unpack[Options]) -> AbstractContextManager[SyncBacklog]:
        """Start a server process, and connect to it; see `Backlog.start`."""
        return cls._over(partial(Backlog.start, retry_for=retry_for, **options))

    @classmethod
    def connect(
        cls, url: str, *, agent: str | None = None, retry_for: float = RETRY_FOR
    ) -> AbstractContextManager[SyncBacklog]:
        """Connect to a server at a URL; see `Backlog.connect`."""
        return cls._over(partial(Backlog.connect, url, agent=agent, retry_for=retry_for))

    @classmethod
    @contextmanager
    def _over(cls, make: Callable[[], AbstractAsyncContextManager[Backlog]]) -> Iterator[SyncBacklog]:
        with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(make()) as backlog:
            loop = Loop(portal.call(asyncio.get_running_loop))
            try:
                with (
                    backlog.released_at_termination(),
                    before_signals(ENDING, signal.default_int_handler, loop.interrupt),
                ):
                    yield cls(loop, backlog)
            finally:
                loop.close()

    def wait_for_operation(self, operation: Operation[..., A], *args: Any, **kwargs: Any) -> A:
        """Call an operation and wait for its answer. Raises its Refusals, and ServerGone."""
        return self._loop.run(partial(self._backlog.call_operation, operation, *args, **kwargs))

    def claim(
        self,
        feature_id: int | None = None,
        *,
        category: str | None = None,
        wait_seconds: float = 0,
        agent: str | None = None,
        resume: bool = False,
        force: bool = False,
    ) -> SyncClaim:
        """Claim a feature for a block: `with backlog.claim() as feature`; see `Backlog.claim`."""
        claim = self._backlog.claim(
            feature_id, category=category, wait_seconds=wait_seconds, agent=agent, resume=resume, force=force
        )
        return SyncClaim(self._loop, claim)

    def holds(self, feature_id: int, token: str | None = None) -> bool:
        """Return whether this object remembers a claim of the feature, or that very claim."""
        return self._backlog.holds(feature_id, token)

    def follow(self, after: str | None = None) -> Generator[FollowedEvent, None, None]:
        """Yield every event of the project, until the backlog closes or Ctrl-C; see `Backlog.follow`."""
        return self._followed(self._backlog.follow(after))

    def _followed(self, events: AsyncGenerator[FollowedEvent, None]) -> Generator[FollowedEvent, None, None]:
        self._loop.refuse_closed()
        try:
            while True:
                yield self._loop.run(events.__anext__)
        except (StopAsyncIteration, ServerGone):  # the backlog was closed
            return
        finally:
            with suppress(ServerGone):
                self._loop.run(events.aclose, ending=True)
