"""The command line."""

from __future__ import annotations

import importlib
from typing import Any

import click

from dibs import __version__

COMMANDS = {
    "init": "init:init",
    "serve": "serve:serve",
    "demo": "demo:demo",
    "import": "intake:import_file",
    "status": "look:status",
    "list": "look:list_features",
    "show": "look:show",
    "follow": "follow:follow",
    "answer": "answer:answer",
    "claim": "claims:claim",
    "heartbeat": "claims:heartbeat",
    "note": "claims:note",
    "pass": "claims:pass_feature",
    "fail": "claims:fail",
    "skip": "claims:skip",
    "release": "claims:release",
    "ask": "asking:ask",
    "ask-user": "asking:ask_user",
    "regression": "reading:regression",
    "add": "planning:add",
    "plan": "planning:plan",
    "update": "planning:update",
    "depend": "planning:depend",
    "get": "reading:get",
    "summary": "reading:summary",
    "search": "reading:search",
    "ready": "reading:ready",
    "blocked": "reading:blocked",
    "graph": "reading:graph",
    "history": "reading:history",
    "stats": "reading:stats",
    "doctor": "doctor:doctor",
    "settings": "settings:settings",
    "copy": "copying:copy",
    "storm": "storm:storm",
    "backup": "backups:backup",
    "restore": "backups:restore",
}
"""Each command's module and name; a module is imported when its command is run."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: Any = getattr(importlib.import_module(f"dibs.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dibs")
def commands() -> None:
    """One backlog of features, shared by any number of coding agents."""
