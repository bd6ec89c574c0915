"""The connections of a server process, and the cost of each on PostgreSQL: the figures of docs/how-to/postgresql.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters.cluster import Cluster
from races.backlog import eventually
from races.servers import ServerClient, serving

AT_WORK = 8
"""Claims that a server makes before its backends are measured; by then their caches have grown."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A separate server, so that no other test's connections are counted."""
    with Cluster(tmp_path / "primary", fsync="off") as started:
        yield started


def backends(cluster: Cluster) -> list[int]:
    """Return the PostgreSQL processes that serve Dibs."""
    found = cluster.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'dibs'")
    return [pid for (pid,) in found]


def own_memory(pid: int) -> float:
    """Return the private memory of a backend plus its share of shared memory, without shared buffers, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
    return (kilobytes["Pss:"] - kilobytes["Pss_Shmem:"]) / 1024


def test_a_server_holds_one_connection_two_at_work_and_three_while_it_waits(cluster: Cluster) -> None:
    """One connection writes from the start, one reads after the first read, and one listens while a claim waits."""
    with serving(cluster.url()) as start:
        server = start()
        server.call("feature_create_bulk", features=[_feature() for _ in range(AT_WORK)], allow_duplicates=True)
        assert len(backends(cluster)) == 1
        server.call("feature_get_stats")
        assert len(backends(cluster)) == 2
        for number in range(1, AT_WORK + 1):
            server.call("feature_claim_and_get")
            server.call("feature_get_history", feature_id=number)
            server.call("feature_mark_passing", feature_id=number)
        assert len(backends(cluster)) == 2
        _wait_for_what_is_not_there(server)
        eventually(lambda: len(backends(cluster)) == 3)
        time.sleep(1)
        assert len(backends(cluster)) == 3
        if Path("/proc/self/smaps_rollup").exists():
            each = sorted(own_memory(pid) for pid in backends(cluster))
            print("MiB of each backend:", ", ".join(f"{size:.1f}" for size in each))
            assert each[-1] < 64
        server.finish()
    eventually(lambda: backends(cluster) == [])


def _feature() -> dict[str, object]:
    return {"category": "c", "name": "n", "description": "d", "steps": ["s"]}


def _wait_for_what_is_not_there(server: ServerClient) -> None:
    server.call("feature_create", **_feature(), allow_duplicates=True)
    server.call("feature_claim_and_get")
    server.send("feature_claim_and_get", wait_seconds=30)
