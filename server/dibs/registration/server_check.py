"""Checks a registration: starts the registered command as the client would, and calls a tool of the server."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from dibs.registration.clients import Client, ServerEntry, words_of
from dibs.root_folder import PROJECT_VARIABLES
from dibs.settings import PREFIX

PATIENCE = 60.0
"""Seconds for the start and one call; uvx may need to fetch the package first."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class ServerSilent(Exception):  # noqa: N818 - the name says what happened
    """The command did not start a server that answers."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server's version, and the project and the database that it serves."""

    version: str
    project: str
    database: str
    total: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How a client starts a server; clients with equal launches need one check."""

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    passes_on: bool

    @classmethod
    def of(cls, client: Client, entry: ServerEntry) -> Launch:
        """Return how the client starts the entry's server, with the settings of Dibs as its only variables.

        Others, such as PYTHONPATH, could run a stranger's code before anybody has trusted the repository.
        """
        given = entry.get(client.variables, {})  # with `${NAME}` and `${NAME:-default}`, which clients replace
        variables = {
            name: _VARIABLE.sub(lambda one: os.environ.get(one[1]) or one[2] or "", text)
            for name, text in (given.items() if isinstance(given, dict) else ())
            if name.startswith(PREFIX) and isinstance(text, str)
        }
        return cls(tuple(words_of(entry)), tuple(sorted(variables.items())), client.passes_on)


def check_server(launch: Launch, root: Path) -> ServerInfo:
    """Start the server in the project's root as the client would, and call `feature_get_stats`.

    Raises ServerSilent with the server's last line on standard error.
    """
    import anyio
    from mcp.shared.exceptions import MCPError

    command, *arguments = launch.words
    variables = {name: text for name, text in os.environ.items() if launch.passes_on or not name.startswith(PREFIX)}
    for name in PROJECT_VARIABLES:
        variables.pop(name, None)
    variables |= {**dict(launch.variables), "PYTHONSAFEPATH": "1"}  # no module of the repository is imported
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            return anyio.run(_ask, command, arguments, variables, root, cast("TextIO", errors))
        except (OSError, MCPError, BaseExceptionGroup) as failure:  # a timeout is an OSError
            first = _first(failure)
            errors.seek(0)
            printed = errors.read().strip().splitlines()
            raise ServerSilent(printed[-1] if printed else str(first) or f"no answer in {PATIENCE:.0f} s") from first


async def _ask(
    command: str, arguments: list[str], variables: Mapping[str, str], root: Path, errors: TextIO
) -> ServerInfo:
    import anyio
    from mcp import ClientSession
    from mcp.client.stdio import StdioServerParameters, stdio_client

    server = StdioServerParameters(command=command, args=arguments, env=dict(variables), cwd=root)
    with anyio.fail_after(PATIENCE):
        async with stdio_client(server, errors) as streams, ClientSession(*streams) as session:
            opened = await session.initialize()
            result = await session.call_tool("feature_get_stats", {})
    stats: dict[str, Any] = result.structured_content or {}
    if result.is_error:
        raise ServerSilent(stats["error"]["message"])
    return ServerInfo(opened.server_info.version, stats["project"], stats["database"], stats["total"])


def _first(failure: BaseException) -> BaseException:
    """Return the first failure in a group that the server can have caused; raise any other exception again."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    from mcp.shared.exceptions import MCPError

    expected, others = failure.split((OSError, MCPError))
    if others is not None:
        raise others
    assert expected is not None
    return _first(expected.exceptions[0])
