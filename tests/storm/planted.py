"""A real server with mistakes in it: `python -m storm.planted MISTAKE,MISTAKE …`. A storm must name what each breaks."""

from __future__ import annotations

import os
import random
import select
import sys
from pathlib import Path
from typing import Any

from races.planted import answer_without_commit, no_token_check

FREEZES = 0.03
"""How many calls freeze."""
FREEZE = 2.0
"""Seconds that count as one where mistakes are planted: no storm of seconds waits for longer ones."""


def claims_do_not_reap() -> None:
    """Who claims leaves what has run out to its dead holder."""
    from dibs.session.session import Reaper

    Reaper.due = lambda _: None  # type: ignore[assignment,method-assign]  # it is the mistake


def idle_servers_do_not_reap() -> None:
    """A server that nobody calls leaves what has run out to its dead holder."""
    from dibs.session.lease_keeper import LeaseKeeper

    async def reap(_: LeaseKeeper) -> None:
        pass

    LeaseKeeper._reap = reap  # type: ignore[assignment,method-assign]  # it is the mistake


def nothing_is_given_back() -> None:
    """A server that ends keeps its claims, until their leases have run out."""
    from dibs.session.lease_keeper import LeaseKeeper

    async def end(self: LeaseKeeper) -> None:
        self._database.close()

    LeaseKeeper.end = end  # type: ignore[method-assign]  # it is the mistake


def some_calls_freeze() -> None:
    """Some calls stand still before they are answered."""
    from dibs.mcp.server import DibsServer

    call = DibsServer.call_tool

    async def call_tool(self: DibsServer, name: str, *rest: Any) -> Any:
        if random.random() < FREEZES:
            select.select([], [], [], 2 * FREEZE)  # the server stands still; libfaketime breaks time.sleep
        return await call(self, name, *rest)

    DibsServer.call_tool = call_tool  # type: ignore[assignment,method-assign]  # it is the mistake


def requests_are_forgotten() -> None:
    """What is asked again is done again; and a server that creates something may not live to say so."""
    from dibs.mcp.server import DibsServer
    from dibs.rules import idempotency

    idempotency.once = lambda _tx, _request, _shape, work, **_: work()  # type: ignore[assignment]  # it is the mistake
    call = DibsServer.call_tool

    async def call_tool(self: DibsServer, name: str, *rest: Any) -> Any:
        answer = await call(self, name, *rest)
        if name.startswith("feature_create") and random.random() < 0.5:
            os._exit(0)
        return answer

    DibsServer.call_tool = call_tool  # type: ignore[assignment,method-assign]  # it is the mistake


def files_are_not_asked_for() -> None:
    """A feature is handed out whoever works on its files."""
    from sqlalchemy import literal_column

    from dibs.rules import file_areas
    from dibs_schema.tables import features

    file_areas.files_are_free = lambda table=features: literal_column("1") == literal_column("1")


def ends_in_error() -> None:
    """A server that is told to end says that it has failed."""
    import atexit

    atexit.register(os._exit, 3)


MISTAKES = {
    one.__name__: (one, breaks)
    for one, breaks in (
        (claims_do_not_reap, "given_back"),
        (idle_servers_do_not_reap, "given_back"),
        (nothing_is_given_back, "released"),
        (some_calls_freeze, "no_freeze"),
        (requests_are_forgotten, "once"),
        (ends_in_error, "documented"),
        (files_are_not_asked_for, "areas"),
        (answer_without_commit, "nothing_lost"),
        (no_token_check, "histories"),
    )
}
"""Each mistake, with the check that must name what it breaks."""


def planted(*mistakes: str) -> tuple[str, ...]:
    """What starts a server with those mistakes, before its flags."""
    tests = str(Path(__file__).parent.parent)
    program = f"import runpy, sys; sys.path.append({tests!r}); runpy.run_module('storm.planted', run_name='__main__')"
    return sys.executable, "-c", program, ",".join(mistakes)


if __name__ == "__main__":
    from dibs.__main__ import serve

    for mistake in sys.argv[1].split(","):
        MISTAKES[mistake][0]()
    serve(sys.argv[2:])
