"""Servers that die at a chosen statement: a process that has loaded everything forks a server for each job.

It never opens a database itself, so no connection crosses a fork. Jobs and reports are lines of JSON:
`python -m faults.dying`.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dibs_proof.raw_client import OPENING
from faults.moves import ALL
from faults.points import Death, watch_file_driver, watch_server_driver

LOADED = (
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "dibs.cli.look",
    "dibs.cli.project_settings",
    "dibs.database.postgres.engine",
    "dibs.database.sqlite.engine",
    "dibs.mcp.transport.jsonrpc_messages",
    "dibs.mcp.transport.jsonrpc_streams",
    "dibs.platform.standard_streams",
    "dibs.verbs.project_settings",
)
"""The modules that a server and a command import lazily."""

PATIENT = 30.0
"""Seconds after which a process that neither answers nor dies is a failure."""


@dataclass(frozen=True, slots=True)
class Job:
    """The write to make, its database, the features that were staged there, and the point at which to die, if any."""

    move: str
    db: str
    staged: dict[str, Any]
    point: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The report on a process: the points that it passed, its answers, and the signal that ended it."""

    points: list[tuple[str, str]]
    answers: list[dict[str, Any]]
    signal: int
    said: str = ""


@dataclass(slots=True)
class Zygote:
    """The parent's handle for the process that forks."""

    process: subprocess.Popen[str] = field(
        default_factory=lambda: subprocess.Popen(
            [sys.executable, "-m", "faults.dying"],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )

    def run(self, job: Job) -> Report:
        """Run a job in its own process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(job)) + "\n")
        self.process.stdin.flush()
        report = json.loads(self.process.stdout.readline())
        return Report(**report | {"points": [(when, what) for when, what in report["points"]]})

    def close(self) -> None:
        """End the process."""
        self.process.communicate(timeout=10)


def main() -> None:
    """Fork a child for each line of input."""
    load()
    for line in sys.stdin:
        print(json.dumps(asdict(run(Job(**json.loads(line))))), flush=True)


def load() -> None:
    """Import the modules that the children need, and build the tools' definitions once."""
    for name in LOADED:
        importlib.import_module(name)

    import anyio

    from dibs.database import file_driver, open_database
    from dibs.mcp import definitions
    from dibs.mcp.server import DibsServer
    from dibs.session.session import load_operations
    from dibs.settings import Settings

    file_driver()
    definitions.definitions = functools.cache(definitions.definitions)
    settings = Settings(db="never opened")
    load_operations()
    definitions.definitions(settings.role)
    DibsServer(open_database(settings), settings, "")
    anyio.run(anyio.sleep, 0)
    gc.collect()
    gc.freeze()


def run(job: Job) -> Report:
    """Run the job in a child with its own pipes, and report the result."""
    pipes = [os.pipe() for _ in range(4)]
    (stdin, to_child), (answers, stdout), (points, reports), (said, stderr) = pipes
    child = os.fork()
    if child == 0:
        for kept, number in ((stdin, 0), (stdout, 1), (stderr, 2)):
            os.dup2(kept, number)
        for end in (to_child, answers, points, said):
            os.close(end)
        _live(job, reports)
    for end in (stdin, stdout, reports, stderr):
        os.close(end)
    read = _converse(job, child, to_child, answers, [points, said])
    _, status = os.waitpid(child, 0)
    lines = read[points].decode().splitlines()
    return Report(
        points=[(when, what) for when, _, what in (line.partition(" ") for line in lines)],
        answers=_answers(read[answers]),
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        said=read[said].decode(errors="replace")[-2000:],
    )


def _live(job: Job, reports: int) -> None:
    """Run as the process that dies."""
    try:
        death, passed = Death(str(job.point)), iter(range(1 << 30))

        def point(when: str, statement: str) -> None:
            now = str(next(passed))
            os.write(reports, f"{when} {' '.join(statement.split())[:200]}\n".encode())
            death.come(now)

        (watch_server_driver if "://" in job.db else watch_file_driver)(point)
        ALL[job.move].make(job.db, job.staged)
    except BaseException:  # noqa: BLE001 - nothing may run on in the parent's code
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def _converse(job: Job, child: int, to_child: int, answers: int, others: list[int]) -> dict[int, bytes]:
    """Send the requests, read all output, and end the child or its input after the answers."""
    move = ALL[job.move]
    calls = move.calls(job.staged)
    with open(to_child, "wb", buffering=0) as wire:
        if calls:
            with suppress(BrokenPipeError):  # it died before it received the first message
                wire.write("".join(json.dumps(line) + "\n" for line in [*OPENING, *calls]).encode())
        read = dict.fromkeys([answers, *others], b"")
        open_ends = set(read)
        while open_ends:
            ready = select.select(list(open_ends), [], [], PATIENT)[0]
            assert ready, f"{job} neither answers nor dies: {read}"
            for end in ready:
                data = os.read(end, 1 << 16)
                read[end] += data
                if not data:
                    open_ends.discard(end)
                    os.close(end)
            if calls and not wire.closed and len(_answers(read[answers])) == len(calls):
                wire.close() if move.to_the_end else os.kill(child, signal.SIGKILL)
                calls = calls if move.to_the_end else []
    return read


def _answers(wire: bytes) -> list[dict[str, Any]]:
    """Return the complete answers to the calls, without the answer to `initialize`."""
    messages = [json.loads(line) for line in wire.split(b"\n")[:-1] if line.startswith(b"{")]
    return [message for message in messages if message.get("id")]


if __name__ == "__main__":
    main()
