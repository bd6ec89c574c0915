"""A backup that is made while real servers write has the backlog at one moment."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dibs.database import Database
from races.backlog import fill, rule, times
from races.servers import ServerClient, serving, up
from transfer.backup.commands import dibs
from transfer.copy.projects import contents, opened
from verbs.stage import is_sound

SERVERS = 8
FEATURES = times(1_000, 8_000)


def test_a_backup_beside_eight_writers_has_all_that_was_acknowledged_before_it(db: str, tmp_path: Path) -> None:
    """A backup has every pass that was acknowledged before it began, its events replay, and no writer waited."""
    with opened(db) as database:
        for _ in range(FEATURES // 1_000):
            fill(database, 1_000)
        rule(database, "max_claims_per_connection", 100)
    told: dict[int, float] = {}
    longest: list[float] = []
    over = threading.Event()

    def work(server: ServerClient) -> None:
        while not over.is_set():
            began = time.monotonic()
            claimed = server.call("feature_claim_and_get")
            if claimed["state"] != "claimed":  # all work is done, because the backup started slowly on a busy machine
                return
            server.call("feature_mark_passing", feature_id=claimed["feature"]["id"])
            told[claimed["feature"]["id"]] = time.monotonic()
            longest.append(told[claimed["feature"]["id"]] - began)

    with serving(db) as start, ThreadPoolExecutor(SERVERS) as pool:
        servers = up(*[start() for _ in range(SERVERS)])
        working = [pool.submit(work, server) for server in servers]
        while len(told) < 50:
            time.sleep(0.01)
        began = time.monotonic()
        before = set(told)
        done = dibs("backup", tmp_path / "it", "--db", db)
        ended = time.monotonic()
        over.set()
        for one in working:
            one.result()
    assert done.returncode == 0, done.stderr
    assert len([at for at in told.values() if began < at < ended]) > 20, "they worked on meanwhile"
    with opened(str(tmp_path / "it")) as copy:
        assert before <= passing(copy)
        assert len(passing(copy)) < len(told) + SERVERS
        assert is_sound(copy)
    print(f"{len(before)} passes before, {len(told)} in total; the longest took {max(longest):.2f} s")


def passing(database: Database) -> set[int]:
    """Return the passing features."""
    return {one["id"] for one in contents(database)["features"] if one["status"] == "passing"}
