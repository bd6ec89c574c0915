"""Changes as server-sent events: the live elements of a page, whenever they differ from those that the browser has.

Events: `patch` has the HTML of elements, each with the id of the one that it replaces. `counts` has the window's title and
the number of things that need a person, as JSON. `trouble` says why the database cannot be read, as JSON; the next `counts`
ends it. `beat` says that the server lives. The id of an event is the journal's cursor.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from dibs.board.page import Page, View, render_blocks
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from typing import Any

    from dibs.database import Database

POLL, FRAME = 0.05, 0.25
"""Seconds between two checks for changes, and the fewest between two frames."""
READ_ANYWAY = 5.0
"""Seconds after which pages are read without a change: leases are renewed and back-offs end without an event."""
HEARTBEAT = 2.0
"""Seconds after which a stream says that it lives."""
BEAT = "event: beat\ndata: alive\n\n"
"""Says so: a comment would not reach the script, and an event without data neither."""
_COUNTED = re.compile(
    r'(?<=data-relative="ago">)[^<]*|(?<=data-relative="since">)[^<]*'
    r'|<time [^>]*data-relative="left"[^>]*>[^<]*|<meter [^>]*>[^<]*'
)
"""What the script counts on by itself: how long ago something was, and how much of a lease is left."""


class Journal:
    """Watches the journal of one database for all streams of this process. While there is no stream, it rests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams = 0
        self._wanted = anyio.Event()
        self._frame = anyio.Event()
        self._is_over = False

    async def run(self) -> None:
        """Watch until cancelled."""
        seen, read_at = -1, 0.0
        while True:
            await self._wanted.wait()
            version = seen
            with suppress(Refusal):  # the next frame says why
                version = await self._database.event_version()
            if version != seen or time.monotonic() - read_at >= READ_ANYWAY:
                seen, read_at = version, time.monotonic()
                self._show()
                await anyio.sleep(FRAME)
            else:
                await anyio.sleep(POLL)

    def end(self) -> None:
        """End all streams."""
        self._is_over = True
        self._show()

    def _show(self) -> None:
        shown, self._frame = self._frame, anyio.Event()
        shown.set()

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
                yield is_new
        finally:
            self._streams -= 1
            if not self._streams:
                self._wanted = anyio.Event()


async def stream(
    journal: Journal, page: Page, read: Callable[[], Awaitable[tuple[View, dict[str, Any]]]]
) -> AsyncIterator[str]:
    """Yield the events for one page, beginning with all its live elements, since the browser may have older ones."""
    sent: dict[str, str] = {}
    title = trouble = ""
    yield BEAT
    async for may_differ in journal.frames():
        if not may_differ:
            yield BEAT
            continue
        try:
            view, variables = await read()
        except Refusal as refusal:
            if str(refusal) != trouble:
                trouble, title, sent = str(refusal), "", {}
                yield _event("trouble", json.dumps({"text": trouble}))
            continue
        trouble = ""
        parts = render_blocks(page, page.live, view, variables)
        facts = {name: _COUNTED.sub("", html) for name, html in parts.items()}
        changed = [parts[name] for name, fact in facts.items() if sent.get(name) != fact]
        sent = facts
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
