"""`dibs board`: the web page for people."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import click

from dibs.cli.options import backlog, flush, say_refusals, setting_option, settings_options
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput


def _repeated(name: str, more: str) -> click.Option:
    """Return a repeatable option for a setting."""
    once = setting_option(name)
    return click.Option(once.opts, multiple=True, help=f"{once.help} {more}")


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port; 0 takes any free one.  [default: that of last time, else any free one]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("--read-only", is_flag=True, help="Show all, and let nobody change anything.")
@click.option(
    "--static",
    "static",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one self-contained page of the present state, instead of serving.",
)
@settings_options("isolated")
@say_refusals
def board(
    *,
    port: int | None,
    opens: bool,
    read_only: bool,
    static: Path | None,
    db: tuple[str, ...],
    project: tuple[str, ...],
    isolated: bool | None,
) -> None:
    """Show the backlog in the browser: what needs you, who works on what; answer, free, retry, plan."""
    from dibs.board.server import projects_of, serve_board
    from dibs.board.static_page import write_static

    def announce(url: str) -> None:
        click.echo(url)
        flush()  # a program that started the board reads it
        if opens:
            webbrowser.open(url)

    read_only = read_only or static is not None
    role = "viewer" if read_only else "planner"
    with ExitStack() as opened:
        backlogs = []
        for one_db, one_project in product(db or (None,), project or (None,)):
            flags: dict[str, Any] = {"db": one_db, "project": one_project, "isolated": isolated}
            database = opened.enter_context(backlog(flags, read_only=read_only))
            backlogs.append((database, Settings.read(flags | {"role": role})))
        if static is not None:
            if len(backlogs) > 1:
                raise InvalidInput("--static writes the page of one project: name one.", field="--static")
            write_static(projects_of(backlogs)[0], static)
            return
        status = anyio.run(serve_board, backlogs, port, announce)
    sys.exit(status)


board.params += [_repeated("db", "Several are shown on one page."), _repeated("project", "Likewise.")]
