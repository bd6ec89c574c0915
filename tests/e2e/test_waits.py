"""How long a client waits for an answer."""

from __future__ import annotations

import anyio

from dibs.client import Client as Reader
from e2e.backlog import Backlog
from e2e.clients import Client, Place
from e2e.conftest import NewPlace
from e2e.running import play
from e2e.script import Call, Script, Shown

WAIT = 45
"""The longest wait for work that Dibs offers."""


async def occupy(backlog: Backlog, client: Client, place: Place) -> Shown:
    """Hold the only feature, and let the client wait for work for the longest time."""
    shown: list[Shown] = []

    def script() -> Script:
        shown.append((yield Call("feature_claim_and_get", {"wait_seconds": WAIT})))

    async with Reader.start(backlog.server()) as holder:
        await holder.call("feature_claim_and_get", feature_id=1)
        await anyio.to_thread.run_sync(play, client, place, script())
    return shown[0]


def test_the_longest_wait_for_work_is_borne(client: Client, backlog: Backlog, new_place: NewPlace) -> None:
    """No client gives up a call that waits 45 seconds for work; the model gets the idle answer."""
    backlog.add_plain(1)
    shown = anyio.run(occupy, backlog, client, new_place(backlog.server()))
    assert shown.data()["counts"] == {"in_progress": 1}
