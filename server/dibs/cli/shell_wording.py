"""Writes calls as shell commands: a command for a tool, options for its parameters."""

from __future__ import annotations

import shlex
from typing import Any

from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL, Command


class ShellWording:
    """Writes calls for the user of a shell."""

    def call(self, step: Step) -> str:
        """Return the command line of a call, in back quotes."""
        if step.operation is None:
            refused = Command("", options={"wait_seconds": "--wait"})
            given = [_option(refused, name, value) for name, value in step.arguments.items()]
            given += [f"{option(refused, name)} …" for name in step.needs]
            return f"it again with `{' '.join(given)}`" if given else "it again"
        command = BY_TOOL[step.operation].command
        words = ["dibs", command.words]
        arguments, positional = step.arguments, command.positional
        words += [shlex.quote(str(arguments[name])) for name in positional if name in arguments]
        words += [_option(command, name, one) for name, one in arguments.items() if name not in positional]
        words += [name.upper() if name in command.positional else f"{option(command, name)} …" for name in step.needs]
        return f"`{' '.join(words)}`"


SHELL = ShellWording()


def option(command: Command, name: str) -> str:
    """Return a parameter's option on the command line: `--wait`, `--archive/--restore`."""
    return command.options.get(name, "--token" if name == "claim_token" else "--" + name.replace("_", "-"))


def _option(command: Command, name: str, value: Any) -> str:
    on, _, off = option(command, name).partition("/")
    if isinstance(value, bool):
        return on if value else off
    return f"{on} {shlex.quote(str(value))}"
