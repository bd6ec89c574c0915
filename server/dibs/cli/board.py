"""`dibs board`: the web page for people."""

from __future__ import annotations

import sys
import webbrowser
from typing import Any

import anyio
import click

from dibs.cli.options import PLACE, backlog, flush, say_refusals, settings_options
from dibs.settings import Settings


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port; 0 takes any free one.", show_default=True
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("--read-only", is_flag=True, help="Show all, and let nobody change anything.")
@settings_options(*PLACE)
@say_refusals
def board(*, port: int, opens: bool, read_only: bool, **flags: Any) -> None:
    """Show the backlog in the browser: what needs you, who works on what; answer, free, retry, plan."""
    from dibs.board.server import serve_board

    settings = Settings.read(flags | {"role": "viewer" if read_only else "planner"})
    with backlog(flags, read_only=read_only) as database:

        def announce(url: str) -> None:
            click.echo(url)
            flush()  # a program that started the board reads it
            if opens:
                webbrowser.open(url)

        status = anyio.run(serve_board, database, settings, port, announce)
    sys.exit(status)
