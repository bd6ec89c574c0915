"""Many servers drain one backlog on PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from dibs.database import Database
from races.backlog import LONG, assert_sound, events_of, fill
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("postgresql", reason="only there can so many processes write at the same time")

PROCESSES = 32
FEATURES = 2_000 if LONG else 320
BATCH = 999


@pytest.mark.timeout(400)
def test_thirty_two_processes_claim_each_feature_once(database: Database, start: StartServer) -> None:
    """No feature is claimed twice, and no client sees an error about PostgreSQL's locks.

    The backlog has 320 features, or 2,000 with DIBS_TEST_LONG=1. A third of them depend on others.
    """
    for first in range(0, FEATURES, BATCH):
        count = min(BATCH, FEATURES - first)
        fill(database, count, [[n - 1] if n % 3 == 2 else [] for n in range(count)])

    def work(server: ServerClient) -> tuple[float, float]:
        began = time.monotonic()
        while (answer := server.call("feature_claim_and_get", wait_seconds=20))["state"] != "complete":
            if answer["state"] == "claimed":
                done = {"feature_id": answer["feature"]["id"], "claim_token": answer["claim"]["token"]}
                assert server.call("feature_mark_passing", **done)["status"] == "passing"
        return began, time.monotonic()

    servers = [start() for _ in range(PROCESSES)]
    for server in servers:  # all start at once on a few cores, so the last one takes a while
        server.answer(server.send("feature_get_stats"), within=240)
    with ThreadPoolExecutor(PROCESSES) as pool:
        spans = list(pool.map(work, servers))  # a refusal of any kind would be raised here
    print(f"{FEATURES} features in {max(end for _, end in spans) - min(begin for begin, _ in spans):.1f} s")
    events = events_of(database)
    assert Counter(event["feature_id"] for event in events if event["kind"] == "claim") == Counter(
        range(1, FEATURES + 1)
    )
    assert {event["kind"] for event in events} == {"create", "claim", "pass"}
    workers = {event["agent"] for event in events if event["kind"] == "claim"}
    assert len(workers) > PROCESSES / 2, "most of them had a part in it"
    assert_sound(database)
