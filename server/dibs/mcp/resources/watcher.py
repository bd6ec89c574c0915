"""Telling subscribers what has changed, whichever process changed it.

Nothing is looked at, and nothing runs, while nobody is subscribed. One look tells all that happened since
the last, so that a burst of changes makes one notification for each resource.
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

if TYPE_CHECKING:  # the verbs bring SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.queries.change_feed import Changes

logger = logging.getLogger(__name__)

POLL: Final = (0.08, 0.16)
"""Seconds between two looks at the database's version; changes are told within half a second."""
TROUBLED: Final = 1.0
"""Seconds until the next look at a database that could not be looked at."""
SLACK: Final = 0.02
"""Seconds after the end of a back-off in which clocks may disagree whether it has ended."""
LIST: Final = ""
"""What stands for the list of resources among the addresses that are told."""


class Audience:
    """Those who are told over one way: what they want to hear of, and what they have not yet been told."""

    def __init__(self, tell: Callable[[str], Awaitable[object]]) -> None:
        self.tell = tell
        self.wanted: Counter[str] = Counter()
        self.addresses: dict[str, Address] = {}
        self.untold: dict[str, None] = {}
        self.is_told = False

    def add(self, *uris: str) -> None:
        """Want to hear of these; each time counts. Raises what `parse` raises, having added none."""
        self.addresses |= {uri: parse(uri) for uri in uris if is_ours(uri)}
        self.wanted.update(uris)

    def remove(self, *uris: str) -> None:
        """Want it no more, once for each time it was added."""
        for uri in uris:
            self.wanted[uri] -= 1
            if self.wanted[uri] <= 0:
                del self.wanted[uri]
                self.addresses.pop(uri, None)
                self.untold.pop(uri, None)

    def concerns(self, changes: Changes, *, ready: bool) -> list[str]:
        """Which of the wanted addresses lead to something else now."""
        told = [LIST] if changes.listed and LIST in self.wanted else []
        return told + [uri for uri, one in self.addresses.items() if _is_touched(one, changes, ready=ready)]


def _is_touched(address: Address, changes: Changes, *, ready: bool) -> bool:
    match address.kind:
        case "feature":
            return address.feature in changes.features
        case "events":
            return changes.any
        case "stats":
            return changes.moved or ready
        case "ready":
            return changes.moved or ready
        case "graph":
            return changes.moved


class Watch:
    """Looks for changes while there is an audience, and tells it; a slow one holds up no other."""

    def __init__(self, database: Database, built: anyio.Event) -> None:
        self._database = database
        self._built = built
        self._audiences: list[Audience] = []
        self._wanted = anyio.Event()
        self._cursor: str | None = None
        self._seen: int | None = None
        self._ready_at = math.inf

    async def begin(self) -> None:
        """Note the place in the journal after which changes are told. Raises what reading raises.

        Who joins in the same breath misses nothing that happens from now on.
        """
        await self._built.wait()  # for the database's library
        if self._cursor is None:
            from dibs.queries.follow import newest

            cursor = await self._database.read(newest)
            if self._cursor is None:
                self._cursor, self._seen = cursor, None

    def join(self, audience: Audience) -> None:
        """Have the audience told from now on; twice is once."""
        if audience not in self._audiences:
            self._audiences.append(audience)
        self._wanted.set()

    def leave(self, audience: Audience) -> None:
        """Tell the audience nothing more; after the last one nothing is looked at."""
        if audience in self._audiences:
            self._audiences.remove(audience)
        audience.untold.clear()
        if not self._audiences:
            self._wanted, self._cursor = anyio.Event(), None

    async def run(self) -> None:
        """Look and tell, for ever."""
        async with anyio.create_task_group() as tellers:
            while True:
                await self._wanted.wait()
                try:
                    while await self._look(tellers):
                        pass
                except Refusal as refusal:
                    logger.info("subscribers wait: %s", refusal)
                    self._seen = None
                    await anyio.sleep(TROUBLED)
                else:
                    await anyio.sleep(random.uniform(*POLL))

    async def _look(self, tellers: TaskGroup) -> bool:
        """Tell what has changed since the last look; returns whether there is more."""
        news = await self._database.event_version()
        expected = self._ready_at
        if (news == self._seen and time.monotonic() < expected) or self._cursor is None:
            return False
        from dibs.queries.change_feed import changes

        addresses = [one for audience in self._audiences for one in audience.addresses.values()]
        asked = {one.feature for one in addresses if one.feature is not None}
        look = partial(changes, cursor=self._cursor, asked=asked)
        began = time.monotonic()
        found = await self._database.read(look)
        if not self._audiences:  # the last has left meanwhile
            return False
        self._cursor, self._seen = found.cursor, None if found.more else news
        self._ready_at = math.inf if found.ready_in is None else began + found.ready_in + SLACK
        has_ended = self._ready_at > expected + SLACK  # whether this look was for it, or for something else
        for audience in self._audiences:
            self._spread(audience, audience.concerns(found, ready=has_ended), tellers)
        return found.more

    def _spread(self, audience: Audience, uris: list[str], tellers: TaskGroup) -> None:
        audience.untold.update(dict.fromkeys(uris))
        if audience.untold and not audience.is_told:
            audience.is_told = True
            tellers.start_soon(_tell, audience)


async def _tell(audience: Audience) -> None:
    try:
        while audience.untold:
            uri = next(iter(audience.untold))
            del audience.untold[uri]
            await audience.tell(uri)
    finally:
        audience.is_told = False
