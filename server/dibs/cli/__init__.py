"""The command line."""

from __future__ import annotations

import importlib

import click

from dibs import __version__

COMMANDS = {
    "init": "dibs.cli.init:init",
    "serve": "dibs.cli.serve:serve",
    "token": "dibs.cli.token:token",
    "demo": "dibs_proof.demo.command:demo",
    "import": "dibs.cli.import_command:import_file",
    "export": "dibs.cli.export:export",
    "status": "dibs.cli.status:status",
    "top": "dibs.cli.top:top",
    "board": "dibs.cli.board:board",
    "list": "dibs.cli.look:list_features",
    "show": "dibs.cli.look:show",
    "follow": "dibs.cli.look:follow",
    "answer": "dibs.cli.answer:answer",
    "doctor": "dibs.cli.doctor:doctor",
    "settings": "dibs.cli.project_settings:settings",
    "hook": "dibs.cli.hook:hook",
    "work": "dibs.work.command:work",
    "copy": "dibs.cli.transfer:copy",
    "storm": "dibs_proof.storm.command:storm",
    "backup": "dibs.cli.transfer:backup",
    "restore": "dibs.cli.transfer:restore",
}
"""The commands without an operation of their own, and the place of each. Its module is imported when it runs."""

GROUPS = {
    "Start here": ("init", "demo", "import", "status"),
    "People": (
        "top",
        "board",
        "answer",
        "approve",
        "return",
        "reject",
        "list",
        "show",
        "follow",
        "search",
        "get",
        "summary",
        "history",
        "ready",
        "blocked",
        "graph",
        "stats",
    ),
    "Agents": (
        "work",
        "claim",
        "heartbeat",
        "note",
        "pass",
        "fail",
        "skip",
        "release",
        "ask",
        "ask-user",
        "regression",
        "serve",
        "hook",
    ),
    "Planning": ("add", "plan", "update", "move", "depend", "settings", "export"),
    "Care": ("token", "doctor", "backup", "restore", "copy", "storm"),
}
"""The commands in the order and under the headings of `dibs --help`. Any others follow as `More`."""


class _Commands(click.Group):
    """COMMANDS, and a command for each operation."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in groups."""
        others = [name for name in self.list_commands(ctx) if all(name not in names for names in GROUPS.values())]
        for heading, names in {**GROUPS, "More": others}.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            room = formatter.width - 6 - max((len(name) for name in names), default=0)
            rows = [(name, one.get_short_help_str(room)) for name, one in found if one is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(dict.fromkeys([*COMMANDS, *operation_commands()]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), name)
            assert isinstance(command, click.Command)
            return command
        if cmd_name not in operation_commands():
            return None
        from dibs.cli.conveniences import CONVENIENCES
        from dibs.cli.operation_command import Convenience, command_of
        from dibs_schema.operations import OPERATIONS

        operation = next(one for one in OPERATIONS if one.command.words == cmd_name)
        return command_of(operation, CONVENIENCES.get(cmd_name, Convenience()))


def operation_commands() -> list[str]:
    """Return the names of the commands that stand for operations. Some operations share one, and differ by a flag."""
    from dibs_schema.operations import OPERATIONS

    names = dict.fromkeys(one.command.words.split()[0] for one in OPERATIONS)
    return [name for name in names if name not in COMMANDS]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dibs")
def commands() -> None:
    """One backlog of features, shared by any number of coding agents."""
