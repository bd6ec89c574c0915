"""`dibs follow --on … --run …`: run a command at least once for each event of some topics, to notify a person.

The place in the events is stored in `.dibs/notices/` after a command has ended with status 0. So a restart misses
nothing. If the follower ended while the command ran, the command gets that event again, marked as repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.platform.file_locks import lock
from dibs.regular_file import make_private, read_regular
from dibs.root_folder import state_folder
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction
    from dibs_schema.answers import FollowedEvent

LONGEST_RUN = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds: for one run of a command, and between two tries, which double."""
LARGEST_FILE = 100_000
DONE = (None, Status.PASSING.value, Status.ARCHIVED.value)
"""What events leave a complete backlog complete."""


class Topic(StrEnum):
    """A kind of news that a person can ask to be told."""

    ASK = "ask"
    STUCK = "stuck"
    COMPLETE = "complete"
    LOST = "lost"
    PASS = "pass"  # noqa: S105 - an outcome, not a password


NEEDS_PERSON = (Topic.ASK, Topic.STUCK, Topic.COMPLETE, Topic.LOST)
"""The topics that a follower has if it names none: what passes needs nobody."""


def parse_topics(given: str | None) -> list[Topic]:
    """Return the topics of a list with commas; those that need a person for None. Raises InvalidInput."""
    if given is None:
        return list(NEEDS_PERSON)
    try:
        return [Topic(name.strip().lower()) for name in given.split(",")]
    except ValueError:
        raise InvalidInput(
            f"on: send one or more of {', '.join(Topic)}, with commas between them.", field="on", given=given
        ) from None


def topics_of(event: FollowedEvent) -> list[Topic]:
    """Return the topics of an event, the most urgent first. COMPLETE belongs to no kind of event: see `Notices.deliver`."""
    is_of = {
        Topic.ASK: event.kind == Kind.ASK and event.to_status != Status.PENDING.value,  # else it was asked before
        Topic.STUCK: event.to_status == Status.STUCK.value,
        Topic.LOST: event.kind == Kind.EXPIRE,
        Topic.PASS: event.kind == Kind.PASS,
    }
    return [topic for topic, holds in is_of.items() if holds]


@dataclass
class Place:
    """The progress of one command: it handled all events up to the cursor `after`; for the next one, see `begun`."""

    command: str
    on: list[str]
    after: str
    complete: bool
    begun: list[str] = field(default_factory=list)


class Notices:
    """Selects the events of some topics, and runs the command for each, if there is one."""

    def __init__(self, database: Database, topics: Collection[Topic], command: str | None, settings: Settings) -> None:
        self._database = database
        self._topics = set(topics)
        self._command = command
        self._settings = settings
        self._file: Path | None = None
        self._lock: int | None = None
        self._place: Place | None = None

    async def begin(self, after: str | None) -> str:
        """Return the cursor after which to follow: `after`, else where this command stopped, else the newest event.

        Raises InvalidInput if another process runs the same command for the same topics, and OSError.
        """
        from dibs.queries.follow import newest

        on = sorted(self._topics)
        if self._command is not None:
            what = "\0".join([self._command, *on, self._settings.project, self._database.label])
            home = state_folder(self._database.file, isolated=self._settings.isolated)
            make_private(home / "notices", home)
            self._file = home / "notices" / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
            self._lock_out_others()
        before = self._read()
        if after is None:
            after = before.after if before is not None else await self._database.read(newest)
        complete = before.complete if before is not None else await self._database.read(_is_complete)
        self._place = Place(self._command or "", list(on), after, complete, before.begun if before is not None else [])
        self._store()
        return after

    def close(self) -> None:
        """Release the lock, so that another process can take over."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def deliver(self, events: list[FollowedEvent]) -> AsyncIterator[tuple[Topic, FollowedEvent]]:
        """Yield each event of the topics, and then run the command for it. The last event may complete the backlog."""
        assert self._place is not None, "it has begun"
        for event in events:
            topics = [topic for topic in topics_of(event) if topic in self._topics][:1]
            complete = self._place.complete and event.to_status in DONE
            if event is events[-1] and not complete:
                complete = await self._database.read(_is_complete)
                if complete and Topic.COMPLETE in self._topics:
                    topics.append(Topic.COMPLETE)
            for topic in topics:
                yield topic, event
                await self._run_for(topic, event)
            self._place.after, self._place.complete = event.cursor, complete
            if topics or event is events[-1]:
                self._store()

    async def _run_for(self, topic: Topic, event: FollowedEvent) -> None:
        if self._command is None:
            return
        assert self._place is not None, "it has begun"
        begun, this = self._place.begun, f"{topic} {event.cursor}"
        repeated = this in begun
        self._place.begun = [*(one for one in begun if one.endswith(f" {event.cursor}") and one != this), this]
        self._store()
        name, text = await self._database.read(lambda tx: _words(tx, event))
        notice = {"on": topic.value, "name": name, "text": text, "repeated": repeated, **event.wire()}
        pause = FIRST_PAUSE
        while (failure := await _run(self._command, notice)) is not None:
            click.echo(
                f"dibs: the command {failure} for event {event.cursor} ({topic}). The next try is in {pause:g} s; later "
                "events wait.",
                err=True,
            )
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            notice["repeated"] = True

    def _lock_out_others(self) -> None:
        if self._file is None:
            return
        self._lock = os.open(
            self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600
        )
        try:
            lock(self._lock, wait=False)
        except BlockingIOError:
            raise InvalidInput(
                "run: another `dibs follow` runs this command for these events. Stop it first, or let it run.",
                field="run",
            ) from None

    def _read(self) -> Place | None:
        if self._file is None:
            return None
        try:
            return Place(**json.loads(read_regular(self._file, LARGEST_FILE, follow=False)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise InvalidInput(
                f"{self._file} is not what `dibs follow` wrote there. Delete it, and name the place to begin with --after.",
                field="run",
            ) from None

    def _store(self) -> None:
        """Replace the file in one step. Raises OSError."""
        if self._file is None or self._place is None:
            return
        unfinished = self._file.with_name(f".{secrets.token_hex(8)}")
        try:
            unfinished.write_text(json.dumps(asdict(self._place), indent=1), encoding="utf-8")
            unfinished.replace(self._file)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


async def _run(command: str, notice: dict[str, Any]) -> str | None:
    """Run a command of the shell with a notice, and return what went wrong, or None."""
    with tempfile.TemporaryFile() as given:  # unlike a pipe, it does not mind if nobody reads it
        given.write(json.dumps(notice, default=str).encode() + b"\n")
        given.seek(0)
        try:
            with anyio.fail_after(LONGEST_RUN):
                ended = await anyio.run_process(
                    command, stdin=given, stdout=None, stderr=None, check=False, env=_environment(notice)
                )
        except TimeoutError:
            return f"had not ended after {LONGEST_RUN:g} s"
    return f"ended with status {ended.returncode}" if ended.returncode else None


def _environment(notice: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a command: this process's own, and the notice's simple values."""
    simple = {name: value for name, value in notice.items() if value is not None and not isinstance(value, dict)}
    simple["repeated"] = int(notice["repeated"])
    return os.environ | {f"DIBS_EVENT_{name.upper()}": str(value).replace("\0", "") for name, value in simple.items()}


def _words(tx: Transaction, event: FollowedEvent) -> tuple[str | None, str]:
    """Return the name of the event's feature, and its text for a person: the question, reason, or summary."""
    from dibs.queries.get import get_by_id
    from dibs.queries.open_questions import words_of

    detail = event.detail or {}
    name = get_by_id(tx, event.feature).name if event.feature is not None else None
    if "question" in detail:
        return name, words_of(tx, detail["question"])
    return name, detail.get("prompt") or detail.get("reason") or detail.get("evidence") or ""


def _is_complete(tx: Transaction) -> bool:
    from dibs.queries.queue_state import why_idle

    return why_idle(tx).state == "complete"
