"""Notifies subscribers of changes by any process.

While there is no subscriber, nothing runs. One read finds all changes since the last one, so that many changes in a
short time lead to one notification for each resource.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from dibs.database import Database
from dibs.mcp.resources.uris import Address, is_ours, parse
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:  # the queries import SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.queries.change_feed import Changes

logger = logging.getLogger(__name__)

POLL: Final = (0.08, 0.16)
"""Seconds between two reads of the database's version; subscribers are notified within half a second."""
TROUBLED: Final = 1.0
"""Seconds between two reads while the database is unavailable."""
SLACK: Final = 0.02
"""Seconds after the end of a back-off in which clocks may disagree whether it has ended."""
LIST: Final = ""
"""Stands for the list of resources among the URIs."""


class Audience:
    """Subscribers that one function notifies: the URIs that they want, and those with a pending notification."""

    def __init__(self, notify: Callable[[str], Awaitable[object]]) -> None:
        self.notify = notify
        self.wanted: Counter[str] = Counter()
        self.addresses: dict[str, Address] = {}
        self.pending: dict[str, None] = {}
        self.is_notified = False

    def add(self, *uris: str) -> None:
        """Subscribe to URIs; each time counts. Raises the refusals of `parse` before it adds any."""
        self.addresses |= {uri: parse(uri) for uri in uris if is_ours(uri)}
        self.wanted.update(uris)

    def remove(self, *uris: str) -> None:
        """Unsubscribe from URIs once; a URI that was added twice must be removed twice."""
        for uri in uris:
            self.wanted[uri] -= 1
            if self.wanted[uri] <= 0:
                del self.wanted[uri]
                self.addresses.pop(uri, None)
                self.pending.pop(uri, None)

    def affected(self, changes: Changes, *, ready: bool) -> list[str]:
        """Return the wanted URIs whose contents have changed. `ready` says that a back-off has ended."""
        lists = [LIST] if changes.listed and LIST in self.wanted else []
        return lists + [uri for uri, one in self.addresses.items() if _is_affected(one, changes, ready=ready)]


def _is_affected(address: Address, changes: Changes, *, ready: bool) -> bool:
    match address.kind:
        case "feature":
            return address.feature in changes.features
        case "events":
            return changes.any
        case "stats" | "overview" | "ready":
            return changes.moved or ready
        case "graph":
            return changes.moved


class Watch:
    """Polls the database for changes while there are audiences, and notifies them; a slow one delays no other."""

    def __init__(self, database: Database, built: anyio.Event) -> None:
        self._database = database
        self._built = built
        self._audiences: list[Audience] = []
        self._wanted = anyio.Event()
        self._cursor: str | None = None
        self._seen: int | None = None
        self._ready_at = math.inf
        self._is_out_of_order = False

    async def begin(self) -> None:
        """Record the newest event; later ones lead to notifications. Raises the Unavailable refusals.

        An audience that joins before the next await misses no later event.
        """
        await self._built.wait()  # SQLAlchemy is imported by then
        if self._cursor is None:
            from dibs.queries.follow import newest

            cursor = await self._database.read(newest)
            if self._cursor is None:
                self._cursor, self._seen = cursor, None

    def join(self, audience: Audience) -> None:
        """Notify the audience from now on."""
        if audience not in self._audiences:
            self._audiences.append(audience)
        self._wanted.set()

    def leave(self, audience: Audience) -> None:
        """Stop notifying the audience. Without any audience, polling stops."""
        if audience in self._audiences:
            self._audiences.remove(audience)
        audience.pending.clear()
        if not self._audiences:
            self._wanted, self._cursor = anyio.Event(), None

    async def run(self) -> None:
        """Poll and notify until cancelled."""
        async with anyio.create_task_group() as senders:
            while True:
                await self._wanted.wait()
                try:
                    while await self._poll(senders):
                        pass
                except Refusal as refusal:
                    logger.info("subscribers wait: %s", refusal)
                    if not (refusal.retryable or self._is_out_of_order):  # the next read says why
                        self._is_out_of_order = True
                        for audience in self._audiences:
                            self._queue(audience, list(audience.addresses), senders)
                    self._seen = None
                    await anyio.sleep(TROUBLED)
                else:
                    self._is_out_of_order = False
                    await anyio.sleep(random.uniform(*POLL))

    async def _poll(self, senders: TaskGroup) -> bool:
        """Queue notifications of the changes since the last read. Returns whether more changes wait to be read."""
        version = await self._database.event_version()
        expected = self._ready_at
        if (version == self._seen and time.monotonic() < expected) or self._cursor is None:
            return False
        from dibs.queries.change_feed import changes

        addresses = [one for audience in self._audiences for one in audience.addresses.values()]
        features = {one.feature for one in addresses if one.feature is not None}
        began = time.monotonic()
        found = await self._database.read(partial(changes, cursor=self._cursor, asked=features))
        if not self._audiences:  # the last one has left during the read
            return False
        self._cursor, self._seen = found.cursor, None if found.more else version
        self._ready_at = math.inf if found.ready_in is None else began + found.ready_in + SLACK
        has_ended = self._ready_at > expected + SLACK  # the expected back-off, even if this read had another cause
        for audience in self._audiences:
            self._queue(audience, audience.affected(found, ready=has_ended), senders)
        return found.more

    def _queue(self, audience: Audience, uris: list[str], senders: TaskGroup) -> None:
        audience.pending.update(dict.fromkeys(uris))
        if audience.pending and not audience.is_notified:
            audience.is_notified = True
            senders.start_soon(_notify, audience)


async def _notify(audience: Audience) -> None:
    try:
        while audience.pending:
            uri = next(iter(audience.pending))
            del audience.pending[uri]
            await audience.notify(uri)
    finally:
        audience.is_notified = False
