"""Eight processes race for a backlog, and a hundred are ended in the middle of their work, on any system."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.fairness import jain

from dibs.database import Database
from races.backlog import assert_sound, events_of, fill, row, times
from races.servers import ServerClient, StartServer, up

pytestmark = pytest.mark.only_on(
    "sqlite", reason="Windows has a file; a server has its own processes and its own tests"
)

PROCESSES = 8
TURNS = times(20, 50)
TERMINATIONS = times(6, 100)


@pytest.mark.timeout(600)
def test_eight_processes_share_a_backlog_fairly(database: Database, start: StartServer) -> None:
    """Each feature is claimed once and passes, and Jain's index of the eight shares is above 0.9."""
    count = PROCESSES * TURNS
    fill(database, PROCESSES + count)
    servers = up(*[start() for _ in range(PROCESSES)])
    for server in servers:
        assert work_on_next(server)  # what a server loads at its first claim takes no part
    together = threading.Barrier(PROCESSES)

    def drain(server: ServerClient) -> list[int]:
        had = []
        together.wait()
        while (feature := work_on_next(server)) is not None:
            had.append(feature)
        return had

    with ThreadPoolExecutor(PROCESSES) as pool:
        had = list(pool.map(drain, servers))
    assert sorted(one for mine in had for one in mine) == list(range(PROCESSES + 1, PROCESSES + count + 1))
    claims = Counter(event["feature_id"] for event in events_of(database) if event["kind"] == "claim")
    assert claims == Counter(range(1, PROCESSES + count + 1))
    shares = [len(mine) for mine in had]
    assert jain(shares) > 0.9, shares
    assert_sound(database)


def work_on_next(server: ServerClient) -> int | None:
    """Claim the next feature and pass it; return its id, or None if nothing is ready."""
    work = server.call("feature_claim_and_get")
    if work["state"] != "claimed":
        return None
    feature: int = work["feature"]["id"]
    server.call("feature_mark_passing", feature_id=feature, claim_token=work["claim"]["token"])
    return feature


@pytest.mark.timeout(1_800)
def test_what_was_acknowledged_outlives_the_end_of_its_process(database: Database, start: StartServer, db: str) -> None:
    """A server that is ended at once after its answer (TerminateProcess on Windows) has lost nothing of it."""
    fill(database, TERMINATIONS)
    begun: list[ServerClient] = []
    for feature in range(1, TERMINATIONS + 1):
        while len(begun) < 2 and feature + len(begun) <= TERMINATIONS:  # the next one starts during this one's work
            begun.append(start("--lease", "3600"))
        server = begun.pop(0)
        token = server.call("feature_mark_in_progress", feature_id=feature)["token"]
        passes = feature % 2 == 0
        if passes:
            server.call("feature_mark_passing", feature_id=feature, claim_token=token)
        server.kill()
        server.status()
        there = row(database, feature)
        assert there["status"] == ("passing" if passes else "in_progress")
        assert token in {there["claim_token"], there["ended_token"]}
    assert Path(db).exists()
    assert_sound(database)
