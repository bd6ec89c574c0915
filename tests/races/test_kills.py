"""After random kills acknowledged changes are kept, and no change is incomplete."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dibs.database import Database
from dibs_proof.raw_client import MissingAnswer
from dibs_schema.refusals import Refusal
from races.backlog import assert_sound, events_of, fill, row, times
from races.servers import StartServer

KILLS = times(16, 200)
AHEAD = 4
"""Servers that start while others are killed."""


@pytest.mark.timeout(600)
def test_an_acknowledged_move_survives_sigkill_an_instant_later(database: Database, start: StartServer) -> None:
    """Every acknowledged change is kept (24 kills; 200 with DIBS_TEST_LONG=1)."""
    fill(database, KILLS)

    def acknowledged(feature: int) -> tuple[int, str, str]:
        server = start("--lease", "3600")  # otherwise the first lease would expire before the last feature is checked
        claim = server.send("feature_mark_in_progress", feature_id=feature)
        token = server.answer(claim)["token"]
        if feature % 2:
            server.kill()
            return feature, "in_progress", token
        passed = server.refusal("feature_mark_passing", feature_id=feature)
        server.kill()
        assert passed is None, (passed, events_of(database, feature))
        return feature, "passing", token

    with ThreadPoolExecutor(AHEAD) as pool:
        acknowledgements = list(pool.map(acknowledged, range(1, KILLS + 1)))
    assert len(acknowledgements) == KILLS
    for feature, status, token in acknowledgements:
        there = row(database, feature)
        assert (there["status"], there["claim_token"] or there["ended_token"]) == (status, token)
    assert_sound(database)


@pytest.mark.timeout(300)
def test_a_backlog_survives_servers_that_are_killed_at_random(database: Database, start: StartServer) -> None:
    """After random kills no acknowledged change is lost or repeated, and every counter is correct."""
    chance = random.Random(11)
    needs = [chance.sample(range(n), min(n, chance.randrange(3))) for n in range(200)]
    fill(database, len(needs), needs)
    passed: set[int] = set()
    over = threading.Event()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while not over.is_set():
            server = start("--lease", "1")
            try:
                server.ready()
                threading.Timer(chance.uniform(0.05, 1.5), server.kill).start()
                while True:
                    work = server.call("feature_claim_and_get")
                    if work["state"] != "claimed":
                        continue
                    acknowledged = server.call("feature_mark_passing", feature_id=work["feature"]["id"])
                    assert acknowledged["id"] not in passed
                    passed.add(acknowledged["id"])
            except (MissingAnswer, BrokenPipeError):
                continue

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, seed) for seed in range(4)]
        time.sleep(times(6, 60))
        over.set()
        for worker in workers:
            worker.result()
    passes = [event["feature_id"] for event in events_of(database) if event["kind"] == "pass"]
    assert len(passes) == len(set(passes))
    assert passed <= set(passes)
    assert all(row(database, feature)["status"] == "passing" for feature in passed)
    assert_replays(database, range(1, len(needs) + 1))
    assert_sound(database)
    last = start("--lease", "1")
    assert last.call("feature_get_stats")["total"] == len(needs)
    with pytest.raises(Refusal):
        last.call("feature_mark_in_progress", feature_id=min(passed))


def assert_replays(database: Database, features: Iterable[int]) -> None:
    """Assert that each event starts where the event before ended, and the last ends in the feature's status."""
    status = dict.fromkeys(features, "")
    for event in events_of(database):
        feature = event["feature_id"]
        if feature is not None:
            assert (event["from_status"] or "") == status[feature], (feature, event)
            status[feature] = event["to_status"]
    for feature, last in status.items():
        assert row(database, feature)["status"] == last
