"""The command line."""

from __future__ import annotations

import importlib
from typing import Any

import click

from dibs import __version__

COMMANDS = ("serve",)


class _Lazy(click.Group):
    """A group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: Any = getattr(importlib.import_module(f"dibs.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dibs")
def commands() -> None:
    """One backlog of features, shared by any number of coding agents."""
