"""Changes as server-sent events: the live elements of a page, whenever they differ from those that the browser has.

Events: `patch` has the HTML of elements, each with the id of the element that it replaces. `counts` has the window's
title and the number of things that need a person, as JSON. `trouble` says why the database cannot be read, as JSON; the
next `counts` ends it. `beat` says that the server is alive. The id of an event is the journal's cursor.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from dibs.board.page import Page, View, render_blocks
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.database import Database

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"
POLL, FRAME = 0.05, 0.25
"""Seconds between two checks for changes, and the fewest between two frames."""
READ_ANYWAY = 5.0
"""Seconds after which pages are read without a change: leases are renewed and back-offs end without an event."""
HEARTBEAT = 2.0
"""Seconds after which a stream says that it is alive."""
BEAT = "event: beat\ndata: alive\n\n"
"""Says so: a comment would not reach the script, and an event without data neither."""
_COUNTED = re.compile(
    r'(?<=data-relative="ago">)[^<]*|(?<=data-relative="since">)[^<]*'
    r'|<time [^>]*data-relative="left"[^>]*>[^<]*|<meter [^>]*>[^<]*'
)
"""What the script updates by itself: how long ago something was, and how much of a lease is left."""


class Journal:
    """Watches the journals of the board's databases for all streams. While there is no stream, it rests."""

    def __init__(self, databases: Sequence[Database]) -> None:
        self._databases = databases
        self._streams = 0
        self._wanted = anyio.Event()
        self._frame = anyio.Event()
        self._is_over = False
        self._reads: dict[str, asyncio.Future[Any]] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        seen, read_at = [-1] * len(self._databases), 0.0
        while True:
            await self._wanted.wait()
            versions = [await self._version(one, before) for one, before in zip(self._databases, seen, strict=True)]
            if versions != seen or time.monotonic() - read_at >= READ_ANYWAY:
                seen, read_at = versions, time.monotonic()
                self._show()
                await anyio.sleep(FRAME)
            else:
                await anyio.sleep(POLL)

    async def _version(self, database: Database, before: int) -> int:
        """Return the version of a database, or `before` if it cannot be read; the next frame then says why."""
        try:
            return await database.event_version()
        except Refusal:
            return before

    def end(self) -> None:
        """End all streams."""
        self._is_over = True
        self._show()

    def _show(self) -> None:
        self._reads = {}
        shown, self._frame = self._frame, anyio.Event()
        shown.set()

    async def once(self, page: str, read: Callable[[], Awaitable[T]]) -> T:
        """Read a page once per frame, for all streams that show it."""
        if page not in self._reads:
            self._reads[page] = asyncio.ensure_future(read())
        result: T = await asyncio.shield(self._reads[page])  # another stream may wait for it, too
        return result

    async def frames(self) -> AsyncIterator[bool]:
        """Yield True at first and whenever pages may have changed, and False after HEARTBEAT seconds without that."""
        self._streams += 1
        self._wanted.set()
        try:
            frame = self._frame
            yield True
            while not self._is_over:
                with anyio.move_on_after(HEARTBEAT):
                    await frame.wait()
                if is_new := frame.is_set():
                    frame = self._frame  # before the page is read, so that no later change is missed
                if not self._is_over:
                    yield is_new
        finally:
            self._streams -= 1
            if not self._streams:
                self._wanted = anyio.Event()


@dataclass(frozen=True, slots=True)
class Moment:
    """A page at a moment: its live elements, and for each the part that the script does not update by itself."""

    view: View
    elements: Mapping[str, str]
    facts: Mapping[str, str]


async def stream(
    journal: Journal, page: Page, here: str, read_page: Callable[[], Awaitable[tuple[View, dict[str, Any]]]]
) -> AsyncIterator[str]:
    """Yield the events for the page at the address `here`, which no other page of the board has.

    They begin with all its live elements, since the browser may have older ones.
    """

    async def read() -> Moment:
        view, variables = await read_page()
        elements = render_blocks(page, page.live, view, variables)
        return Moment(view, elements, {name: _COUNTED.sub("", html) for name, html in elements.items()})

    sent: Mapping[str, str] = {}
    title = trouble = ""
    is_first = True
    yield BEAT
    async for may_differ in journal.frames():
        if not may_differ:
            yield BEAT
            continue
        try:
            # The read of another stream may be older than the page that the browser has.
            moment = await (read() if is_first else journal.once(here, read))
        except Refusal as refusal:
            if str(refusal) != trouble:
                trouble, title, sent = str(refusal), "", {}
                yield _event("trouble", json.dumps({"text": trouble}))
            continue
        is_first, trouble, view = False, "", moment.view
        changed = [moment.elements[name] for name, fact in moment.facts.items() if sent.get(name) != fact]
        sent = moment.facts
        if changed:
            yield _event("patch", "".join(changed), view.cursor)
        if view.title != title:
            title = view.title
            yield _event("counts", json.dumps({"title": title, "needs_you": view.needs_you}), view.cursor)
        elif not changed:
            yield BEAT


def _event(kind: str, data: str, cursor: str | None = None) -> str:
    lines = [f"id: {cursor}"] if cursor is not None else []
    lines += [f"event: {kind}", *(f"data: {line}" for line in data.replace("\r", "&#13;").split("\n"))]
    return "\n".join(lines) + "\n\n"
