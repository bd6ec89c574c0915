"""A separate PgBouncer in front of a cluster, in transaction mode: it lends a session for one transaction at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from clusters.cluster import PASSWORD, Cluster
from clusters.programs import as_nobody, hand_over
from clusters.urls import free_port, moved

GIVEN = "DIBS_TEST_PGBOUNCER"


def program() -> str | None:
    """Return the program that DIBS_TEST_PGBOUNCER names, or else the one on PATH or in Debian's folder, or else None."""
    return shutil.which(os.environ.get(GIVEN, "pgbouncer"), path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def bouncer(cluster: Cluster, folder: Path, **settings: object) -> Iterator[str]:
    """Run a pooler during the block, and yield the URL of the cluster's database through it.

    Args:
        cluster: The server behind it.
        folder: The folder for its files.
        settings: Settings as in pgbouncer.ini.
    """
    found, port = program(), free_port()
    assert found is not None, "skip before this, with a reason"
    given = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": folder / "users",
        "pool_mode": "transaction",
        **settings,
    }
    hand_over(folder)
    (folder / "users").write_text(f'"dibs" "{PASSWORD}"\n')
    lines = [f"{name} = {value}" for name, value in given.items()]
    behind = f"[databases]\n* = host=127.0.0.1 port={cluster.port}\n[pgbouncer]\n"
    (folder / "ini").write_text(behind + "\n".join(lines) + "\n")
    url = moved(cluster.url(), {}, port=port)
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(as_nobody(found, f"{folder / 'ini'}"), stdout=log, stderr=log) as process,
    ):
        try:
            _until_it_answers(url, process, folder / "log")
            yield url
        finally:
            process.kill()


def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.02)
        else:
            return
