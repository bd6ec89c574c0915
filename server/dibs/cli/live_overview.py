"""Reads the overview and the latest events in a thread, again after each change, also after the database was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from dibs.cli.options import backlog
from dibs.cli.shell_wording import SHELL
from dibs.cli.status import moments, notes_of, read_overview
from dibs.database.worker_threads import resolve
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.database.transaction import Transaction
    from dibs_schema.answers import FollowedEvent, Overview

TROUBLED = 1.0
"""Seconds between two tries while the database is lost."""
LONGEST_CLOSE = 2.0
"""Seconds for which the end waits for a read."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The result of one read: the overview, notes about the whole database, and the latest events, the newest first."""

    overview: Overview
    notes: tuple[str, ...]
    events: list[FollowedEvent]


def read_moment(tx: Transaction, label: str) -> Moment:
    """Return what `dibs top` shows."""
    from dibs.queries.follow import page

    overview, labels = read_overview(tx, label)
    return Moment(overview, notes_of(labels), page(tx).events[::-1])


class LiveOverview:
    """The newest moment of a backlog. A thread reads it, and calls `changed` after each change.

    `lost` says why the database cannot be read, and since which reading of time.monotonic; `moment` is then the last
    moment that was read, at `read_at` by the same clock.
    """

    def __init__(self, flags: dict[str, Any], changed: Callable[[], None]) -> None:
        self._flags = flags
        self._changed = changed
        self._closing = threading.Event()
        self._ended: Future[None] = Future()
        self._ended.add_done_callback(lambda _: changed())
        follow = partial(resolve, self._ended, partial(anyio.run, self._follow))
        self._thread = threading.Thread(target=follow, name="dibs-overview", daemon=True)
        self.lost: tuple[str, float] | None = None
        self.read_at = time.monotonic()
        with backlog(flags, read_only=True) as database:  # raises the refusals of a backlog that cannot be opened
            self.moment = database.read_now(lambda tx: read_moment(tx, database.label))

    def start(self) -> None:
        """Start to follow the backlog."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; a thread that waits for a database ends with the process."""
        self._closing.set()
        self._thread.join(LONGEST_CLOSE)

    def check(self) -> None:
        """Raise the exception that ended the thread, if there was one."""
        if self._ended.done():
            self._ended.result()

    async def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                await self._follow_one()
            except Refusal as refusal:
                since = self.lost[1] if self.lost is not None else time.monotonic()
                self.lost = refusal.worded(SHELL, "Run"), since
                self._changed()
                await anyio.sleep(TROUBLED)

    async def _follow_one(self) -> None:
        """Follow the backlog until the end. Raises the Unavailable refusals, and NotFound if it has gone."""
        with backlog(self._flags, read_only=True) as database:
            async for found, age in moments(database, lambda tx: read_moment(tx, database.label)):
                if found is not self.moment or self.lost is not None:
                    self.moment, self.read_at, self.lost = found, time.monotonic() - age, None
                    self._changed()
                if self._closing.is_set():
                    return
