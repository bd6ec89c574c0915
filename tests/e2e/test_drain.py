"""Real clients build a whole backlog by a script, alone, at the same time, and after one of them died."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it
import pytest

from dibs.client import Client as Reader
from e2e.backlog import Backlog
from e2e.clients import Client
from e2e.conftest import NewPlace, NewProject
from e2e.running import Run, play, running
from e2e.script import Call, Script, Shown, drain, drain_filled_in

LEASE = 4
"""The lease in seconds of the servers that are killed."""
SLACK = 8.0
"""Seconds that a take-over may take beyond the lease on a loaded machine."""


def test_a_scripted_agent_drains_ten_features(client: Client, backlog: Backlog, new_project: NewProject) -> None:
    """A real client claims and passes ten features one after the other, and then gets `complete`."""
    backlog.add_plain(10)
    model = play(client, new_project(backlog), drain(client.name))
    assert set(backlog.statuses().values()) == {"passing"}
    assert backlog.claims() == 10
    assert model.shown[-1].data()["state"] == "complete"


def test_a_model_that_fills_in_every_argument_drains_ten_features(
    client: Client, backlog: Backlog, new_project: NewProject
) -> None:
    """It sends "", null, 0, false and [] in every optional argument, through a real client, and is never refused."""
    backlog.add_plain(10)
    answers: list[dict[str, Any]] = []
    play(client, new_project(backlog), drain_filled_in(lambda shown: answers.append(shown.data())))
    assert [one for one in answers if "error" in one] == []
    assert len(answers) == 10 * 3 + 1
    assert answers[-1]["state"] == "complete"
    assert set(backlog.statuses().values()) == {"passing"}
    assert backlog.claims() == 10


def meeting(agent: str, both: threading.Barrier, given: list[int]) -> Script:
    """Drain, but keep the first claim until the other client has a claim too."""
    waited = False

    def note(shown: Shown) -> None:
        nonlocal waited
        answer = shown.data()
        if answer.get("state") == "claimed":
            given.append(answer["feature"]["id"])
            if not waited:
                waited = True
                both.wait(timeout=60)

    return drain(agent, note)


def test_two_agents_at_once_never_hold_the_same_feature(
    client: Client, backlog: Backlog, new_project: NewProject
) -> None:
    """Two real clients with claims at the same time share twelve features, each claimed once."""
    backlog.add_plain(12)
    both = threading.Barrier(2)
    given: dict[str, list[int]] = {"one": [], "two": []}
    with ExitStack() as stack:
        runs = [
            stack.enter_context(running(client, new_project(backlog), meeting(agent, both, ids)))
            for agent, ids in given.items()
        ]
        for run in runs:
            run.finish()
    assert all(given.values()), "both had work"
    assert sorted(given["one"] + given["two"]) == list(range(1, 13))
    assert backlog.claims() == 12
    assert set(backlog.statuses().values()) == {"passing"}


def hold(claimed: threading.Event, released: threading.Event) -> Script:
    """Claim a feature, and never end the turn."""
    yield Call("feature_claim_and_get", {"agent": "the late"})
    claimed.set()
    released.wait(timeout=120)


@pytest.mark.parametrize("with_server", [False, True], ids=["alone", "with its server"])
def test_a_killed_agent_gives_its_feature_back(
    client: Client, backlog: Backlog, new_place: NewPlace, *, with_server: bool
) -> None:
    """After a SIGKILL of the client, or of it and its server, another agent gets the feature within the lease."""
    backlog.add_plain(1)
    claimed, released = threading.Event(), threading.Event()
    place = new_place(backlog.server("--lease", str(LEASE)))
    with running(client, place, hold(claimed, released)) as run:
        assert claimed.wait(timeout=90), "the client claimed nothing"
        servers = run.servers()
        assert servers, "the client has no server below it"
        taken, elapsed = anyio.run(kill_and_take, run, backlog, with_server)
        released.set()
    assert taken["state"] == "claimed"
    assert taken["feature"]["id"] == 1
    assert elapsed < LEASE + SLACK
    assert psutil.wait_procs(servers, timeout=5)[1] == [], "a server outlived its client"
    assert backlog.claims() == 2


async def kill_and_take(run: Run, backlog: Backlog, with_servers: bool) -> tuple[dict[str, Any], float]:
    """Kill the client, wait until another agent gets its feature, and return the feature and the time."""
    async with Reader.start(backlog.server()) as successor:
        run.kill(with_servers=with_servers)
        killed = time.monotonic()
        taken = await successor.call("feature_claim_and_get", wait_seconds=20, agent="the successor")
        return taken, time.monotonic() - killed
