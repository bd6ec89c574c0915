"""Options that every command has, and what becomes of a refusal."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dibs.settings import Role, Settings
from dibs_schema.refusals import Refusal

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def settings_options(*names: str) -> Callable[[CommandT], CommandT]:
    """Add the flags of the named settings, with the words of `Settings`."""

    def add(command: CommandT) -> CommandT:
        for name in reversed(names):
            field = Settings.model_fields[name]
            flag = "--" + name.replace("_", "-")
            kind: Any = click.Choice([role.value for role in Role]) if name == "role" else str
            words = f"{field.description} [{'DIBS_' + name.upper()}]"
            if name == "isolated":
                command = click.option(flag, is_flag=True, default=None, help=words)(command)
            else:
                command = click.option(flag, type=kind, default=None, help=words)(command)
        return command

    return add


def say_refusals(command: Callable[..., Any]) -> Callable[..., Any]:
    """End with the refusal's message and a status that tells its kind, instead of a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Refusal as refusal:
            if kwargs.get("as_json"):
                click.echo(json.dumps(refusal.answer(), ensure_ascii=False))
            click.echo(f"dibs: {refusal.message}", err=True)
            sys.exit(exit_status(refusal))

    return run


def exit_status(refusal: Refusal) -> int:
    """2 for a wrong call, 75 (EX_TEMPFAIL) for one to repeat, 1 for every other refusal."""
    if refusal.retryable:
        return 75
    return 2 if refusal.code == "invalid_input" else 1
