"""The command line."""

from __future__ import annotations

import importlib
from typing import Any

import click

from dibs import __version__

COMMANDS = {
    "init": "dibs.cli.init:init",
    "serve": "dibs.cli.serve:serve",
    "demo": "dibs_proof.demo.command:demo",
    "import": "dibs.cli.intake:import_file",
    "status": "dibs.cli.look:status",
    "list": "dibs.cli.look:list_features",
    "show": "dibs.cli.look:show",
    "follow": "dibs.cli.follow:follow",
    "answer": "dibs.cli.answer:answer",
    "claim": "dibs.cli.claims:claim",
    "heartbeat": "dibs.cli.claims:heartbeat",
    "note": "dibs.cli.claims:note",
    "pass": "dibs.cli.claims:pass_feature",
    "fail": "dibs.cli.claims:fail",
    "skip": "dibs.cli.claims:skip",
    "release": "dibs.cli.claims:release",
    "ask": "dibs.cli.asking:ask",
    "ask-user": "dibs.cli.asking:ask_user",
    "regression": "dibs.cli.reading:regression",
    "add": "dibs.cli.planning:add",
    "plan": "dibs.cli.planning:plan",
    "update": "dibs.cli.planning:update",
    "depend": "dibs.cli.planning:depend",
    "get": "dibs.cli.reading:get",
    "summary": "dibs.cli.reading:summary",
    "search": "dibs.cli.reading:search",
    "ready": "dibs.cli.reading:ready",
    "blocked": "dibs.cli.reading:blocked",
    "graph": "dibs.cli.reading:graph",
    "history": "dibs.cli.reading:history",
    "stats": "dibs.cli.reading:stats",
    "doctor": "dibs.cli.doctor:doctor",
    "settings": "dibs.cli.settings:settings",
    "copy": "dibs.cli.copying:copy",
    "storm": "dibs_proof.storm.command:storm",
    "backup": "dibs.cli.backups:backup",
    "restore": "dibs.cli.backups:restore",
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
        command: Any = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dibs")
def commands() -> None:
    """One backlog of features, shared by any number of coding agents."""
