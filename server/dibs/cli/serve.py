"""`dibs serve`: the MCP server on standard input and output."""

from __future__ import annotations

import gc
from typing import Any

import click

from dibs.cli.options import say_refusals, settings_options


@click.command()
@settings_options(
    "db",
    "project",
    "agent",
    "role",
    "lease",
    "hold_limit",
    "patience",
    "synchronous",
    "log",
    "isolated",
)
@say_refusals
def serve(**flags: Any) -> None:
    """Serve the backlog to an MCP client over stdio."""
    gc.disable()  # collecting while loading only costs time; the server enables it when it is warm
    from dibs.database import open_database
    from dibs.settings import Settings
    from dibs.tools.server import DibsServer
    from dibs.verbs.holder import new_session

    settings = Settings.read(flags)
    server = DibsServer(open_database(settings), settings, new_session())
    server.run("stdio")
