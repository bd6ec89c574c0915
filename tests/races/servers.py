"""Real servers for the tests, each with a raw client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from dibs_proof.raw_client import OPENING, Message, Process, RawClient
from races.fork_server import ForkedServer, is_plain

StartServer = Callable[..., "ServerClient"]
"""Starts a server on the test's database: `start("--lease", "2")`."""


READS: dict[str, dict[str, Any]] = {
    "feature_get_by_id": {"feature_id": 1},
    "feature_get_summary": {"feature_ids": [1, 2]},
    "feature_search": {"text": "name"},
    "feature_get_ready": {},
    "feature_get_blocked": {},
    "feature_get_graph": {},
    "feature_get_history": {"feature_id": 1},
    "feature_get_stats": {"by": "agent"},
    "feature_get_overview": {},
    "ask_user": {"question_id": 1},
}
"""A call of each tool that reads."""


def start_process(command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> Process:
    """Start a server as a child process of the tests."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=dict(environment)
    )


class ServerClient(RawClient):
    """A raw client of a server that is forked from a loaded process if possible."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        opening: Sequence[Message] = OPENING,
    ) -> None:
        forked = is_plain(command, environment or {})
        super().__init__(command, environment, opening, start=ForkedServer if forked else start_process)


def up(*servers: ServerClient) -> list[ServerClient]:
    """Wait until servers that start at the same time have each opened their database."""
    return [server.ready() for server in servers]


def command_on(db: object, *flags: str) -> list[str]:
    """Return the command line of a server on a database."""
    return [sys.executable, "-m", "dibs", "serve", "--db", str(db), *flags]


@contextmanager
def serving(db: object) -> Iterator[StartServer]:
    """Yield a function that starts servers on a database; they are killed when the block ends."""
    started: list[ServerClient] = []

    def start(*flags: str, on: object = None, prefix: Sequence[str] = (), **environment: str) -> ServerClient:
        server = ServerClient([*prefix, *command_on(on or db, *flags)], environment)
        started.append(server)
        return server

    try:
        yield start
    finally:
        for server in started:
            server.close()
