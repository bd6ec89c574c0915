"""A fork server: a process that has loaded the SDK, and forks the tests' servers.

Loading the SDK and the verbs takes more than a second of processor time, and the tests start a thousand servers. A
forked server is a process with its own pipes and environment, as `python -m dibs serve` is; no code of the server ran
before the fork. The fork server reports its exit status. A new interpreter starts each server with DIBS_TEST_FRESH=1 or
DIBS_TEST_LONG=1, and if the command or the environment is not that of a plain server.

A bug must be planted before the modules load that it changes. So a server with one bug is forked from a process that
has loaded only the libraries, and loads the rest itself.
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

from dibs_proof.planted_bugs import BUGS

SERVER = [sys.executable, "-m", "dibs", "serve"]
BUGGY = [sys.executable, "-m", "dibs_proof.planted_bugs"]
TESTS = Path(__file__).parent.parent
LIBRARIES = [
    "alembic.command",
    "anyio._backends._asyncio",
    "click",
    "encodings.ascii",
    "mcp.server.mcpserver",
    "psycopg",
    "rich.console",
    "rich.logging",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
]
MODULES = [
    "dibs.__main__",
    "dibs.cli.serve",
    "dibs.database.postgres.engine",
    "dibs.database.sqlite.engine",
    "dibs.mcp.call",
    "dibs.mcp.definitions",
    "dibs.mcp.prompts.completions",
    "dibs.mcp.prompts.prompts",
    "dibs.mcp.resources.read",
    "dibs.mcp.server",
    "dibs.mcp.transport.jsonrpc_streams",
]
PACKAGES = ["dibs.queries", "dibs.rules", "dibs.session", "dibs.verbs"]
JUST_LIBRARIES = "libraries"
LONGEST = 1 << 20
"""The most bytes of a request, which has the arguments and the environment."""


def is_plain(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether this server can be forked: the command has no prefix, and no library is preloaded."""
    wanted = any(os.environ.get(f"DIBS_TEST_{name}") == "1" for name in ("FRESH", "LONG"))
    return (
        (list(command[: len(SERVER)]) == SERVER or bool(_bugs(command)))
        and not wanted
        and not any(name.startswith(("LD_", "PYTHON")) for name in environment)
        and sys.platform == "linux"
    )


def _bugs(command: Sequence[str]) -> str:
    """Return the planted bugs of a server, separated by commas."""
    return command[len(BUGGY)] if list(command[: len(BUGGY)]) == BUGGY else ""


def _loads(command: Sequence[str]) -> str:
    """Return what the fork server of a command has loaded: the server, with the bugs of a storm, or the libraries.

    A storm starts many servers with the same bugs, so they are planted before its fork server loads the server.
    """
    bugs = _bugs(command)
    return bugs if "," in bugs or not bugs else JUST_LIBRARIES


class ForkedServer:
    """A forked server, with the part of subprocess.Popen that the tests use."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> None:
        answers, out = os.pipe()
        into, questions = os.pipe()
        self._status, status = os.pipe()
        request = {
            "argv": command[len(SERVER) :],
            "bugs": _bugs(command),
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        with _opening:
            fork_server = _fork_server(_loads(command))
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
    """The process of a fork server, and the socket to it. `_loads` describes its parameter."""

    def __init__(self, loaded: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "races.fork_server", str(theirs.fileno()), loaded],
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


def serve(connection: socket.socket, loaded: str) -> None:
    """Fork servers until the tests are over. In each server this returns when the server has ended."""
    for library in LIBRARIES:
        importlib.import_module(library)
    if loaded != JUST_LIBRARIES:
        _plant(loaded)
        _load()
    gc.collect()
    gc.freeze()
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


def _plant(bugs: str) -> None:
    for bug in filter(None, bugs.split(",")):
        BUGS[bug]()


def _load() -> None:
    """Import the modules of a server, without running any of its code."""
    for module in MODULES:
        importlib.import_module(module)
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    importlib.import_module("dibs.database").file_driver()


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
    if request["bugs"] and "," not in request["bugs"]:
        _plant(request["bugs"])
    from dibs.__main__ import main

    try:
        main()
    except SystemExit as ended:
        _end(ended.code)


def _end(status: str | int | None) -> None:
    """End the process as the interpreter does, but leave its memory to the system, which takes a third of the time."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
