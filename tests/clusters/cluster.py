"""A separate PostgreSQL server for a test, which may be killed, restarted, copied and promoted."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal, Self

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it
import psycopg

from clusters.programs import command, hand_over, run
from clusters.urls import free_port, moved

PASSWORD = "not-to-be-told"  # what no message, log or answer may ever contain
_STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_GUARD = 'read -r _; kill -QUIT "$0"; rm -r "$1"'  # its input ends when the process that has the cluster does


class Cluster:
    """A server with its data, created at its first start. As a context manager it starts, and leaves only its log.

    The tests' role is `dibs`: it owns the database `dibs` and may create databases, but is no superuser.
    """

    def __init__(self, place: Path, **settings: str | int) -> None:
        """Plan a cluster; `start` creates it.

        Args:
            place: Its folder, which need not exist. Its name is the standby's name on the server that it follows.
            settings: Settings as in postgresql.conf. PostgreSQL's defaults apply otherwise, so a commit is on disk.
        """
        self.place = place
        self.settings = settings
        self.data = place / "data"
        self.log = place / "log"
        self.port = free_port()
        self.sockets = hand_over(Path(tempfile.mkdtemp(prefix="dibs-", dir="/tmp")))  # a short path: 103 bytes
        self.standbys: list[Cluster] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as otherwise:
            otherwise.callback(self.close)
            self.start()
            otherwise.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "dibs", **params: object) -> str:
        """Return the URL of a database: over TCP, unless `host=cluster.sockets` is given."""
        return moved(f"postgresql://dibs:{PASSWORD}@127.0.0.1:{self.port}", params, database)

    def sql(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, not through TCP or a proxy, and return its rows."""
        with psycopg.connect(self._inside(), autocommit=True) as connection:
            done = connection.execute(statement.encode(), parameters or None)
            return done.fetchall() if done.description else []

    def start(self, within: float = 30) -> None:
        """Start the server, and return when it answers.

        Raises:
            RuntimeError: It ended, or did not answer within so many seconds; the message is its log.
        """
        assert self._process is None, "it runs already"
        new = not (self.data / "PG_VERSION").exists()
        if new:
            self._make()
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # after a kill, all of it
        told = ["-D", f"{self.data}", "-h", "127.0.0.1", "-p", f"{self.port}", "-k", f"{self.sockets}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command("postgres", *told),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt from the keyboard must reach only the tests
            )
        guard = ["sh", "-c", _GUARD, f"{self._process.pid}", f"{self.sockets}"]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        self._until_ready(self._process, within)
        if new:
            self.sql(f"CREATE ROLE dibs LOGIN CREATEDB PASSWORD '{PASSWORD}'")
            self.sql("CREATE DATABASE dibs OWNER dibs")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast", within: float = 60) -> None:
        """Stop the server as `pg_ctl stop -m` does, and return when it has ended. Do nothing if it is stopped."""
        if self._process is not None:
            self._process.send_signal(_STOP[mode])
            self._process.wait(within)
            self._gone()

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop and start the server, on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill all of its processes with SIGKILL, and return when they have ended.

        Killing the postmaster alone is no crash: a working backend would continue, and might still commit. The
        postmaster is stopped first, so that it neither starts another process nor cleans up.
        """
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGSTOP)
        children = psutil.Process(self._process.pid).children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.kill()
        self._process.wait()
        _wait_until(lambda: not any(_runs(child) for child in children), 30, "its processes survived SIGKILL")
        self._gone()

    def close(self) -> None:
        """Stop the server and its standbys, and remove everything except the log."""
        for standby in self.standbys:
            standby.close()
        self.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def standby(self, place: Path | None = None) -> Cluster:
        """Start a copy that follows this server. From now on a commit is acknowledged once the copy has it on disk.

        Raises:
            RuntimeError: The copy could not be made.
            AssertionError: It was not in sync in time.
        """
        copy = Cluster(place or self.place.with_name(f"{self.place.name}_standby"), **self.settings)
        self.standbys.append(copy)
        hand_over(copy.place)
        source = f"host={self.sockets} port={self.port} user=postgres application_name={copy.place.name}"
        slot = ["--create-slot", f"--slot={copy.place.name}"]  # otherwise the log that it needs may be recycled
        run("pg_basebackup", "-d", source, "-D", f"{copy.data}", "-R", "--no-sync", "-c", "fast", *slot)
        with (copy.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = ''\n")  # otherwise a promoted copy waits for its own standbys
        copy.start()
        names = ", ".join(f'"{standby.place.name}"' for standby in self.standbys)
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST {len(self.standbys)} ({names})'")
        self.sql("SELECT pg_reload_conf()")
        self.wait_in_sync()
        return copy

    def wait_in_sync(self, within: float = 30) -> None:
        """Wait until every standby is synchronous, and has on disk everything that was committed here.

        Raises:
            AssertionError: That took longer than so many seconds.
        """
        written = self.sql("SELECT pg_current_wal_flush_lsn()")[0][0]
        in_sync = "sync_state = 'sync' AND flush_lsn >= %s::pg_lsn"
        query = f"SELECT count(*) FROM pg_stat_replication WHERE application_name = ANY(%s) AND {in_sync}"
        names = [standby.place.name for standby in self.standbys]
        _wait_until(
            lambda: self.sql(query, (names, written)) == [(len(names),)],
            within,
            "no standby was in sync in time",
        )

    def promote(self, within: int = 30) -> None:
        """Promote this standby, and return when it takes writes. Stop or kill the primary first."""
        assert self.sql("SELECT pg_promote(true, %s)", (within,)) == [(True,)], "it was not promoted in time"

    def _make(self) -> None:
        hand_over(self.place)
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        how = ["--no-sync", "--no-instructions", "--encoding=UTF8", "--no-locale"]
        who = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]
        run("initdb", "-D", f"{self.data}", *who, *how, *settings)

    def _inside(self) -> str:
        return f"host={self.sockets} port={self.port} user=postgres dbname=postgres"

    def _until_ready(self, process: subprocess.Popen[bytes], within: float) -> None:
        state = self.data / "postmaster.pid"  # its eighth line is the state of the start
        deadline = time.monotonic() + within
        while not (state.exists() and state.read_text().splitlines()[7:8] == ["ready   "]):
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop("immediate")
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.005)

    def _gone(self) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        self._guard.kill()  # first: the system may reuse the id of the guarded process now
        self._guard.wait()
        self._guard.stdin.close()
        self._process = self._guard = None


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _wait_until(true: Callable[[], bool], within: float, otherwise: str) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)
