"""Real servers with planted bugs, which the history checker and `dibs storm` must find.

`python -m dibs_proof.planted_bugs BUG,BUG FLAGS` runs `dibs serve FLAGS` with the named bugs.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio

from dibs_proof.planted_claim_bugs import IN_CLAIMS, nothing_is_rechecked

COMMIT_DELAY = 2.0
"""Seconds between an early answer and its commit: a server that dies in between loses the change."""
FREEZE_RATE = 0.03
"""The share of calls that freeze."""
FREEZE = 2.0
"""Seconds that count as a freeze in a test of this bug; a call that freezes takes twice as long."""


def no_token_check() -> None:
    """Let any token end a claim."""
    from sqlalchemy import String, bindparam

    from dibs.rules import conditions
    from dibs_schema.status import Status

    token = bindparam("token", type_=String)
    conditions.held = lambda: conditions.is_(Status.IN_PROGRESS) & (token == token)  # noqa: PLR0124 - true of any


def no_dependency_guard() -> None:
    """Let a claim ignore unmet dependencies."""
    from dibs.rules import conditions
    from dibs_schema.status import Status
    from dibs_schema.tables import features

    conditions.unblocked = lambda table=features: conditions.is_(Status.PENDING, table)


def answer_before_commit() -> None:
    """Acknowledge a pass a moment before it is committed."""
    from dataclasses import replace

    from dibs.database.runner import JobRunner, QueuedWrite
    from dibs.database.worker_threads import resolve
    from dibs.database.write_job import VerbJob

    write = JobRunner.write

    def answer(self: JobRunner, future: Future[Any], work: QueuedWrite[Any]) -> None:
        def early(tx: Any) -> Any:
            answered = work.job.run(tx)
            if getattr(answered, "status", None) == "passing":
                future.set_result(answered)
                time.sleep(COMMIT_DELAY)
            return answered

        late: Future[Any] = Future()
        if future.set_running_or_notify_cancel():
            write(self, late, replace(work, job=VerbJob(early)))
        if not future.done():
            resolve(future, late.result)

    JobRunner.write = answer  # type: ignore[method-assign]  # it is the bug


class _NotCommitted(Exception):  # noqa: N818 - it is not an error, but the bug
    """Ends a transaction after its answer was recorded."""


def answer_without_commit() -> None:
    """Acknowledge a pass, and never commit it."""
    from dibs.database.runner import JobRunner

    commit = JobRunner._commit  # noqa: SLF001 - it is what the bug is planted into

    def answer(self: JobRunner, connection: Any, start: Any, verb: Callable[..., Any], **more: Any) -> Any:
        answers: list[Any] = []

        def record(tx: Any) -> Any:
            answers.append(verb(tx))
            if getattr(answers[0], "status", None) == "passing":
                raise _NotCommitted
            return answers[0]

        try:
            return commit(self, connection, start, record, **more)
        except _NotCommitted:
            return answers[0]

    JobRunner._commit = answer  # type: ignore[method-assign]  # noqa: SLF001 - it is the bug


def reaper_without_lease_guard() -> None:
    """Treat every lease as expired when another agent claims."""
    from sqlalchemy import literal_column

    from dibs.rules import conditions

    conditions.expired = lambda: literal_column("1") == literal_column("1")


def skip_reads_before_its_update() -> None:
    """Read the last place in the queue in one transaction, and take the place in a later transaction."""
    from sqlalchemy import Integer, bindparam, update

    from dibs.rules.conditions import this
    from dibs.session import claims
    from dibs.verbs import skip
    from dibs_schema.answers import Acknowledgement
    from dibs_schema.tables import features

    operation, verb = claims.skip, skip.skip
    place = update(features).where(this()).values(priority=bindparam("last_place", type_=Integer))
    places: dict[int, int] = {}
    both_have_read = anyio.Event()

    async def read_first(session: Any, asked: Any, context: Any) -> Any:
        read = session.database.read
        places[asked.feature_id] = await read(lambda tx: tx.value(skip._last))  # noqa: SLF001 - the verb's statement
        if len(places) == 2:
            both_have_read.set()
        await both_have_read.wait()
        return await operation(session, asked, context)

    def late(tx: Any, by: str, feature: int, reason: str, token: str | None = None) -> Acknowledgement:
        skipped = verb(tx, by, feature, reason, token)
        tx.run(place, feature=feature, last_place=places[feature])
        return skipped.model_copy(update={"priority": places[feature]})

    claims.skip = read_first  # type: ignore[assignment]  # it is the bug
    claims.skip_verb = late  # type: ignore[attr-defined]  # likewise


def claims_do_not_reap() -> None:
    """Let claims not reap, so that an expired claim stays with its dead holder."""
    from dibs.session.session import Reaper

    Reaper.due = lambda _: None  # type: ignore[assignment,method-assign]  # it is the bug


def idle_servers_do_not_reap() -> None:
    """Let idle servers not reap, so that an expired claim stays with its dead holder."""
    from dibs.session.lease_keeper import LeaseKeeper

    async def reap(_: LeaseKeeper) -> None:
        pass

    LeaseKeeper._reap = reap  # type: ignore[assignment,method-assign]  # noqa: SLF001 - it is the bug


def no_release_at_the_end() -> None:
    """Let a server end without releasing its claims."""
    from dibs.session.lease_keeper import LeaseKeeper

    async def end(self: LeaseKeeper) -> None:
        self._database.close()

    LeaseKeeper.end = end  # type: ignore[method-assign]  # it is the bug


def some_calls_freeze() -> None:
    """Let some calls block the server before they are answered."""
    from dibs.mcp.server import DibsServer

    call = DibsServer.call_tool

    async def call_tool(self: DibsServer, name: str, *rest: Any) -> Any:
        if random.random() < FREEZE_RATE:
            select.select([], [], [], 2 * FREEZE)  # blocks the server; libfaketime breaks time.sleep
        return await call(self, name, *rest)

    DibsServer.call_tool = call_tool  # type: ignore[assignment,method-assign]  # it is the bug


def no_idempotency() -> None:
    """Let a repeated creation take effect again, and let servers that created features die before they answer."""
    from dibs.mcp.server import DibsServer
    from dibs.rules import idempotency
    from dibs.verbs import create

    create.find_existing = lambda tx, batch: ({}, [], {})  # noqa: ARG005 - it is the bug
    idempotency.once = lambda _tx, _request, _shape, work, **_: work()  # type: ignore[assignment]  # it is the bug
    call = DibsServer.call_tool

    async def call_tool(self: DibsServer, name: str, *rest: Any) -> Any:
        answer = await call(self, name, *rest)
        if name.startswith("feature_create") and random.random() < 0.5:
            os._exit(0)
        return answer

    DibsServer.call_tool = call_tool  # type: ignore[assignment,method-assign]  # it is the bug


def no_file_area_guard() -> None:
    """Let a claim ignore the file areas of live claims."""
    from sqlalchemy import literal_column

    from dibs.rules import file_areas
    from dibs_schema.tables import features

    file_areas.files_are_free = lambda table=features: literal_column("1") == literal_column("1")  # noqa: ARG005 - as it is called


def areas_do_not_follow_paths() -> None:
    """Store a new feature's paths without their file areas."""
    from dibs.verbs import create

    create.add_areas = lambda _tx, _paths: None  # type: ignore[assignment,attr-defined]  # it is the bug


def holders_do_not_hear() -> None:
    """Let a heartbeat name no unmet dependency."""
    from dibs.verbs import lease

    lease.blockers = lambda _tx, _feature, _unmet: {}  # type: ignore[assignment,attr-defined]  # it is the bug


def exit_status_3() -> None:
    """Let a server that ends normally exit with status 3."""
    import atexit

    atexit.register(os._exit, 3)


_ALL: tuple[tuple[Callable[[], None], bool, str | None], ...] = (
    (no_token_check, True, "histories"),
    (no_dependency_guard, True, None),
    (answer_before_commit, True, None),
    (answer_without_commit, True, "nothing_lost"),
    (reaper_without_lease_guard, True, None),
    (skip_reads_before_its_update, True, None),
    (holders_do_not_hear, True, None),
    *((bug, True, None) for bug in IN_CLAIMS),
    (nothing_is_rechecked, False, None),
    (claims_do_not_reap, False, "given_back"),
    (idle_servers_do_not_reap, False, "given_back"),
    (no_release_at_the_end, False, "released"),
    (some_calls_freeze, False, "no_freeze"),
    (no_idempotency, False, "once"),
    (exit_status_3, False, "documented"),
    (no_file_area_guard, False, "areas"),
    (areas_do_not_follow_paths, False, "audit"),
)
BUGS = {plant.__name__: plant for plant, _, _ in _ALL}
"""Every bug, by its name."""
IN_HISTORIES = frozenset(plant.__name__ for plant, seen, _ in _ALL if seen)
"""The bugs that the history checker must find alone."""
IN_STORMS = {plant.__name__: check for plant, _, check in _ALL if check is not None}
"""The bugs that a storm must find, each with the check that must fail."""


def buggy_server(*bugs: str) -> tuple[str, ...]:
    """Return the command, without options, that starts a server with `bugs`."""
    return sys.executable, "-m", "dibs_proof.planted_bugs", ",".join(bugs)


if __name__ == "__main__":
    from dibs.__main__ import serve

    for bug in sys.argv[1].split(","):
        BUGS[bug]()
    serve(sys.argv[2:])
