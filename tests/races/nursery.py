"""Servers that are born of a process which has loaded the SDK already.

Loading it takes two thirds of a second of processor time, and the tests start a thousand servers. Such a server is a
process of its own with pipes and an environment of its own, as `python -m dibs serve` makes it; it was forked before
anything of it ran. Its parent is the nursery, which tells its exit status. DIBS_TEST_FRESH=1 (and
DIBS_TEST_LONG=1) start every server from nothing, and so does a command or an environment that is no plain server's.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SERVER = [sys.executable, "-m", "dibs", "serve"]
TESTS = Path(__file__).parent.parent
LONGEST = 1 << 20
"""Bytes of a request: the arguments and the environment."""


def is_plain(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the nursery can bear this server: nothing stands before the command, and nothing is preloaded."""
    wanted = any(os.environ.get(f"DIBS_TEST_{name}") == "1" for name in ("FRESH", "LONG"))
    return (
        list(command[: len(SERVER)]) == SERVER
        and not wanted
        and not any(name.startswith(("LD_", "PYTHON")) for name in environment)
        and sys.platform == "linux"
    )


class Born:
    """A server from the nursery, with what the tests use of subprocess.Popen."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> None:
        answers, out = os.pipe()
        into, questions = os.pipe()
        self._status, status = os.pipe()
        told = {"argv": command[len(SERVER) :], "environment": dict(environment), "folder": str(Path.cwd())}
        with _opening:
            nursery = _nursery()
        self.pid = nursery.bear(json.dumps(told), [into, out, stderr.fileno(), status])
        for end in (into, out, status):
            os.close(end)
        self.stdin: IO[bytes] | None = os.fdopen(questions, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(answers, "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(SERVER, timeout or 0)
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Nursery:
    """The process, and the wire to it."""

    def __init__(self) -> None:
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "races.nursery", str(theirs.fileno())],
            cwd=TESTS,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self._close)

    def bear(self, told: str, descriptors: list[int]) -> int:
        """The process id of a new server, which has these as its standard streams and its status."""
        with self._one_at_a_time:
            socket.send_fds(self._wire, [told.encode()], descriptors)
            return int(self._wire.recv(16))

    def _close(self) -> None:
        self._wire.close()
        self._process.wait()


_nursery = functools.cache(_Nursery)
_opening = threading.Lock()


def serve(wire: socket.socket) -> None:
    """Bear servers until the tests are over; in each of them this returns when the server has ended."""
    _load()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([wire.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _bury(statuses)
        if wire.fileno() in ready:
            told, descriptors, *_ = socket.recv_fds(wire, LONGEST, 4)
            if not told:
                return None
            born = os.fork()
            if born == 0:
                return _live(wire, json.loads(told), descriptors)
            statuses[born] = descriptors.pop()
            for one in descriptors:
                os.close(one)
            wire.send(str(born).encode())


def _load() -> None:
    """What a server loads, but for what it would do at once."""
    for module in ("mcp.server", "cli.serve", "database.sqlite.engine", "database.postgres.engine"):
        importlib.import_module(f"dibs.{module}")
    gc.collect()
    gc.freeze()


def _bury(statuses: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = dead
            end = statuses.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody asks
                os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(end)


def _live(wire: socket.socket, told: dict[str, Any], descriptors: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wire.detach()
    for number, one in enumerate(descriptors[:3]):
        os.dup2(one, number)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    sys.argv = ["dibs", "serve", *told["argv"]]
    from dibs.__main__ import main

    main()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
