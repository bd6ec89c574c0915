"""PostgreSQL is killed behind the board: the page says what happens, and goes on when the server is back."""

from __future__ import annotations

import json

import pytest

from board.people import Person, Stream, board_on
from clusters.cluster import Cluster
from clusters.shared import fresh_database
from dibs_schema.status import Status
from faults.servers import opened
from verbs.stage import place


@pytest.mark.only_on("postgresql", reason="a file has no server that could be killed")
def test_a_killed_server_is_reported_and_survived(tmp_path_factory: pytest.TempPathFactory, engine: str) -> None:
    """The stream stays open and says why nothing can be read; the first frame after the restart has everything."""
    with (
        Cluster(tmp_path_factory.mktemp("board") / "primary", max_connections=60) as cluster,
        fresh_database(cluster) as url,
        opened(url) as database,
    ):
        place(database, Status.STUCK)
        with board_on(url) as board, Person(board) as person, Stream(person.enter(), "/") as stream:
            stream.next("patch")
            cluster.kill()
            assert json.loads(stream.next("trouble"))["text"]
            refused = person.get("/board")
            assert (refused.status_code, "cannot be shown" in refused.text) == (503, True)
            cluster.start()
            stuck = place(database, Status.STUCK).id
            while f'id="stuck-{stuck}"' not in stream.next("patch"):
                pass
            assert person.get("/board").status_code == 200
