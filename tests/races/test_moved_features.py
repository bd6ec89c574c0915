"""Planners in many processes move features in the queue at the same time: each move has its whole effect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from dibs.database import Database
from dibs.queries.search import get_ready
from races.backlog import SEED, assert_sound, events_of, fill, times
from races.servers import ServerClient, StartServer, up

PLANNERS, FEATURES = 8, 20
TARGET = 10
MOVES = times(25, 250)
"""How often each planner moves a feature, three times in four right before the same one."""


def _move(server: ServerClient, seed: int) -> None:
    chance = Random(seed)
    others = [one for one in range(1, FEATURES + 1) if one != TARGET]
    for _ in range(MOVES):
        moved = chance.choice(others)
        where: dict[str, Any] = chance.choice(
            [{"before": TARGET}, {"before": TARGET}, {"before": TARGET}, {"to": "front"}, {"to": "end"}]
        )
        server.call("feature_move", feature_id=moved, **where)


@pytest.mark.timeout(300)
def test_the_queue_is_in_the_order_of_the_moves(database: Database, start: StartServer) -> None:
    """Replayed one after another on a list, the events of the moves give the order of the queue."""
    fill(database, FEATURES)
    servers = up(*(start("--role", "planner") for _ in range(PLANNERS)))
    with ThreadPoolExecutor(PLANNERS) as pool:
        for one in [pool.submit(_move, server, SEED + number) for number, server in enumerate(servers)]:
            one.result()
    queue, moves = list(range(1, FEATURES + 1)), 0
    for event in events_of(database):
        detail = event["detail"] or {}
        if "order" not in detail.get("fields", ()):
            continue
        moves += 1
        queue.remove(event["feature_id"])
        if "before" in detail:
            queue.insert(queue.index(detail["before"]), event["feature_id"])
        else:
            queue.insert(0 if detail["to"] == "front" else len(queue), event["feature_id"])
    assert moves > PLANNERS * MOVES / 2
    assert [one.id for one in database.read_now(lambda tx: get_ready(tx, FEATURES)).features] == queue
    assert_sound(database)
