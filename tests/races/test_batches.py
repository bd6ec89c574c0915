"""A batch that several processes send is created once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dibs.database import Database
from races.backlog import assert_sound
from races.servers import StartServer, up
from verbs.stage import board

BATCH: list[dict[str, Any]] = [
    {"category": "core", "name": name, "description": "what it does", "steps": ["look"], "key": name, **more}
    for name, more in (("save", {}), ("show", {"depends_on": ["save"]}), ("list", {"depends_on": ["save", "show"]}))
]


@pytest.mark.parametrize("key", [{}, {"request_id": "the plan"}], ids=["without request_id", "with request_id"])
def test_eight_servers_that_send_one_batch_leave_one_set(
    database: Database, start: StartServer, key: dict[str, str]
) -> None:
    """The same batch from eight processes at once is created once, and each receives the same ids."""
    servers = up(*[start() for _ in range(8)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: one.call("feature_create_bulk", features=BATCH, **key), servers))
    assert {tuple(answer["ids"]) for answer in answers} == {(1, 2, 3)}
    assert len(board(database)["features"]) == 3
    assert_sound(database)
