"""A real server with one mistake in it: `python planted.py MISTAKE serve …`. What checks histories must find each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio


def no_token_check() -> None:
    """Any token moves a claim."""
    from sqlalchemy import String, bindparam

    from dibs.rules import conditions
    from dibs_schema.status import Status

    token = bindparam("token", type_=String)
    conditions.held = lambda: conditions.is_(Status.IN_PROGRESS) & (token == token)  # noqa: PLR0124 - true of any


def no_dependency_guard() -> None:
    """A claim does not ask for dependencies."""
    from dibs.rules import conditions
    from dibs_schema.status import Status
    from dibs_schema.tables import features

    conditions.unblocked = lambda table=features: conditions.is_(Status.PENDING, table)


GAP = 2.0
"""Seconds between an answer that comes too early and its commit; who sleeps that long is killed before."""


def answer_before_commit() -> None:
    """A pass is acknowledged a moment before it is committed: a server that dies in between has lost it."""
    from dataclasses import replace

    from dibs.database.runner import JobRunner, QueuedWrite
    from dibs.database.worker_threads import resolve
    from dibs.database.write_job import VerbJob

    write = JobRunner.write

    def answer(self: JobRunner, future: Future[Any], work: QueuedWrite[Any]) -> None:
        def early(tx: Any) -> Any:
            said = work.job.run(tx)
            if getattr(said, "status", None) == "passing":
                future.set_result(said)
                time.sleep(GAP)
            return said

        late: Future[Any] = Future()
        if future.set_running_or_notify_cancel():
            write(self, late, replace(work, job=VerbJob(early)))
        if not future.done():
            resolve(future, late.result)

    JobRunner.write = answer  # type: ignore[method-assign]  # it is the mistake


def answer_without_commit() -> None:
    """A pass is acknowledged, and never committed."""
    from dibs.database.runner import JobRunner

    commit = JobRunner._commit

    def answer(
        self: JobRunner, connection: Any, start: Any, verb: Callable[..., Any], *, exclusive: bool
    ) -> Any:
        said: list[Any] = []

        def note(tx: Any) -> Any:
            said.append(verb(tx))
            if getattr(said[0], "status", None) == "passing":
                raise EarlyAnswer
            return said[0]

        try:
            return commit(self, connection, start, note, exclusive=exclusive)
        except EarlyAnswer:
            return said[0]

    JobRunner._commit = answer  # type: ignore[method-assign]  # it is the mistake


class EarlyAnswer(Exception):  # noqa: N818 - it is what happens
    """Nothing is committed after it."""


def reaper_without_lease_guard() -> None:
    """Every claim counts as run out when somebody else claims."""
    from sqlalchemy import literal_column

    from dibs.rules import conditions

    conditions.expired = lambda: literal_column("1") == literal_column("1")


def skip_reads_before_its_update() -> None:
    """The last place in the queue is read first, and taken later: when two have read it."""
    from sqlalchemy import Integer, bindparam, update

    from dibs.rules.conditions import this
    from dibs.session import claims
    from dibs.verbs import skip
    from dibs_schema.answers import Acknowledgement
    from dibs_schema.tables import features

    operation, verb = claims.skip, skip.skip
    place = update(features).where(this()).values(priority=bindparam("place", type_=Integer))
    places: dict[int, int] = {}
    both_have_read = anyio.Event()

    async def read_first(session: Any, asked: Any, context: Any) -> Any:
        places[asked.feature_id] = await session.database.read(lambda tx: tx.value(skip._last))
        if len(places) == 2:
            both_have_read.set()
        await both_have_read.wait()
        return await operation(session, asked, context)

    def late(tx: Any, by: str, feature: int, reason: str, token: str | None = None) -> Acknowledgement:
        skipped = verb(tx, by, feature, reason, token)
        tx.run(place, feature=feature, place=places[feature])
        return skipped.model_copy(update={"priority": places[feature]})

    claims.skip = read_first  # type: ignore[assignment]  # it is the mistake
    claims.skip_verb = late  # type: ignore[attr-defined]  # likewise


MISTAKES = {
    one.__name__: one
    for one in (
        no_token_check,
        no_dependency_guard,
        answer_before_commit,
        answer_without_commit,
        reaper_without_lease_guard,
        skip_reads_before_its_update,
    )
}


def planted_command(mistake: str, *flags: str) -> list[str]:
    """The command line of a server with that mistake, as `dibs serve FLAGS`."""
    return [sys.executable, __file__, mistake, *flags]


if __name__ == "__main__":
    from dibs.__main__ import serve

    MISTAKES[sys.argv[1]]()
    serve(sys.argv[2:])
