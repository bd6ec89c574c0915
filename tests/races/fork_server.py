"""A fork server: a process that has loaded the SDK, and forks the tests' servers.

Loading the SDK and the verbs takes more than a second of processor time, and the tests start a thousand servers. A
forked server is a process with its own pipes and environment, as `python -m dibs serve` is; no code of the server ran
before the fork. The fork server reports its exit status. A new interpreter starts each server with DIBS_TEST_FRESH=1 or
DIBS_TEST_LONG=1, and if the command or the environment is not that of a plain server.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import dibs.queries
import dibs.rules
import dibs.session
import dibs.verbs
from dibs_proof.planted_bugs import BUGS

SERVER = [sys.executable, "-m", "dibs", "serve"]
BUGGY = [sys.executable, "-m", "dibs_proof.planted_bugs"]
TESTS = Path(__file__).parent.parent
MODULES = [
    "alembic.command",
    "anyio._backends._asyncio",
    "dibs.cli.serve",
    "dibs.database.postgres.engine",
    "dibs.database.sqlite.engine",
    "dibs.mcp.call",
    "dibs.mcp.definitions",
    "dibs.mcp.server",
    "dibs.mcp.transport.jsonrpc_streams",
    "rich.logging",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
]
LONGEST = 1 << 20
"""The most bytes of a request, which has the arguments and the environment."""


def is_plain(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether this server can be forked: the command has no prefix, and no library is preloaded.

    With planted bugs it is forked in a storm, which has several at once and starts many servers.
    """
    wanted = any(os.environ.get(f"DIBS_TEST_{name}") == "1" for name in ("FRESH", "LONG"))
    return (
        (list(command[: len(SERVER)]) == SERVER or "," in _bugs(command))
        and not wanted
        and not any(name.startswith(("LD_", "PYTHON")) for name in environment)
        and sys.platform == "linux"
    )


def _bugs(command: Sequence[str]) -> str:
    """Return the planted bugs of a server, separated by commas."""
    return command[len(BUGGY)] if list(command[: len(BUGGY)]) == BUGGY else ""


class ForkedServer:
    """A forked server, with the part of subprocess.Popen that the tests use."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> None:
        answers, out = os.pipe()
        into, questions = os.pipe()
        self._status, status = os.pipe()
        request = {
            "argv": command[len(SERVER) :],
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        with _opening:
            fork_server = _fork_server(_bugs(command))
        self.pid = fork_server.fork(json.dumps(request), [into, out, stderr.fileno(), status])
        for end in (into, out, status):
            os.close(end)
        self.stdin: IO[bytes] | None = os.fdopen(questions, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(answers, "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while the server runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status, negative for a signal. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(SERVER, timeout or 0)
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the server has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _ForkServer:
    """The process of the fork server, whose servers have the given bugs, and the socket to it."""

    def __init__(self, bugs: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "races.fork_server", str(theirs.fileno()), bugs],
            cwd=TESTS,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self._close)

    def fork(self, request: str, descriptors: list[int]) -> int:
        """Return the process id of a new server; the descriptors are its standard streams and its status pipe."""
        with self._one_at_a_time:
            socket.send_fds(self._socket, [request.encode()], descriptors)
            return int(self._socket.recv(16))

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


_fork_server = functools.cache(_ForkServer)
_opening = threading.Lock()


def serve(connection: socket.socket, bugs: str) -> None:
    """Fork servers until the tests are over. In each server this returns when the server has ended."""
    for bug in filter(None, bugs.split(",")):
        BUGS[bug]()
    _load()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([connection.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(statuses)
        if connection.fileno() in ready:
            request, descriptors, *_ = socket.recv_fds(connection, LONGEST, 4)
            if not request:
                return None
            pid = os.fork()
            if pid == 0:
                return _run_server(connection, json.loads(request), descriptors)
            statuses[pid] = descriptors.pop()
            for one in descriptors:
                os.close(one)
            connection.send(str(pid).encode())


def _load() -> None:
    """Import the modules of a server, without running any of its code."""
    for module in MODULES:
        importlib.import_module(module)
    for package in (dibs.queries, dibs.rules, dibs.session, dibs.verbs):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    gc.collect()
    gc.freeze()


def _report_ended(statuses: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = dead
            end = statuses.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # no process waits for it
                os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(end)


def _run_server(connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection.detach()
    for number, one in enumerate(descriptors[:3]):
        os.dup2(one, number)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["dibs", "serve", *request["argv"]]
    from dibs.__main__ import main

    main()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
