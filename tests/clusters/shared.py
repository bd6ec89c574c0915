"""One real PostgreSQL for a whole test run, and fresh databases on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from clusters.urls import moved

if sys.platform != "win32":  # where DIBS_TEST_POSTGRES names a server
    import fcntl

GIVEN = "DIBS_TEST_POSTGRES"
ENGINES = ("sqlite", "postgresql")
HERE = ENGINES[:1] if sys.platform == "win32" and GIVEN not in os.environ else ENGINES
"""The engines of this run: no wheel brings a PostgreSQL for Windows, but a run may name a server."""


class Serves(Protocol):
    """A shared or a separate server. Other databases are created from its default database."""

    def url(self) -> str:
        """The URL of its default database, for a role that may create databases."""


@dataclass(frozen=True)
class Server:
    """The server of the test run: the URL of its default database."""

    at: str

    def url(self) -> str:
        """The URL of its default database."""
        return self.at


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of a test run share, with and without pytest-xdist."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def shared_server(common: Path) -> Iterator[Server]:
    """Share one server between all processes with the same folder: the first starts it, and it stops after the last.

    It stops even if they are killed. DIBS_TEST_POSTGRES=<url> names another server instead, which is neither
    started nor stopped; its role must be allowed to create databases.

    Raises:
        RuntimeError: The server did not start; the message is its log.
    """
    if given := os.environ.get(GIVEN):
        yield Server(given)
        return
    with (common / "postgres.start-lock").open("a") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # one process at a time looks and starts
        place = common / "postgres"  # shows which folder belongs to it
        users = _join(Path(place.read_text())) if place.exists() else None
        if users is None:
            folder = Path(tempfile.mkdtemp(prefix="dibs-", dir=quick_folder()))
            users = _begin(folder)
            place.write_text(f"{folder}")
    with users:
        yield Server((Path(users.name).parent / "url").read_text())


@contextmanager
def fresh_database(server: Serves, template: str | None = None) -> Iterator[str]:
    """Create a database, yield its URL, and drop it afterwards, even if a client is still connected.

    Args:
        server: The server to create it on.
        template: The URL of a database to copy, to which no client may be connected at that moment.
    """
    name = f"dibs_{uuid4().hex[:16]}"
    source = "template0" if template is None else urlsplit(template).path[1:]
    # Copying files takes a third of the time that writing every page to the log does, the default since PostgreSQL 15.
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY = FILE_COPY").format(
        sql.Identifier(name), sql.Identifier(source)
    )
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(create)
    try:
        yield moved(server.url(), {}, name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            _persist(lambda: connection.execute(drop))


def _persist(drop: Callable[[], object]) -> None:
    """Drop a database, and retry while the server's own vacuum uses it: only a superuser may end that."""
    for _ in range(50):
        try:
            drop()
        except psycopg.errors.InsufficientPrivilege:
            time.sleep(0.1)
        else:
            return
    drop()


def quick_folder() -> Path:
    """Return a folder in memory, if there is room. CREATE DATABASE makes 300 files: 290 ms on a busy disk, 9 in memory."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return memory if roomy else Path(tempfile.gettempdir())


def _join(folder: Path) -> TextIO | None:
    """Share the lock of the server in this folder. Return None if the server has been stopped."""
    try:
        users = (folder / "users").open()
    except FileNotFoundError:
        return None
    fcntl.flock(users, fcntl.LOCK_SH)  # waits for a guardian that is about to stop it
    if (folder / "url").exists():
        return users
    users.close()
    return None


def _begin(folder: Path) -> TextIO:
    """Start a server in this folder, under a guardian, and share its lock from the beginning."""
    users = (folder / "users").open("a")
    fcntl.flock(users, fcntl.LOCK_SH)
    guardian = [sys.executable, "-m", "clusters.guardian", f"{folder}"]
    done = subprocess.run(guardian, cwd=Path(__file__).parent.parent, check=False)
    if done.returncode != 0:
        users.close()
        said = (folder / "log").read_text()
        shutil.rmtree(folder)
        raise RuntimeError(said)
    return users
