"""What every command has: the flags of the settings, `--json`, and what becomes of a refusal."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dibs.settings import Settings
from dibs_schema.refusals import NotFound, Refusal
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from dibs.database import Database


Command = Callable[..., Any]

PLACE = ("db", "project", "isolated")
"""The settings that say which backlog is meant."""
NOTHING_FREE, NOTHING_LEFT, NOTHING_FOR_AGENTS = 3, 4, 5
"""Exit statuses of a claim that got nothing: for now; as all is done or the backlog is empty; until a person acts."""
CLOSING = 5.0
"""Seconds that a command waits for the door at its end."""


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Add the flags of the named settings, with the words of `Settings`."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = click.option(*setting_option(name).opts, **_of_setting(name))(command)
        return command

    return add


def setting_option(name: str) -> click.Option:
    """The flag of a setting."""
    return click.Option(["--" + name.replace("_", "-")], **_of_setting(name))


def _of_setting(name: str) -> dict[str, Any]:
    text = f"{Settings.model_fields[name].description} [DIBS_{name.upper()}]"
    kind: Any = click.Choice([role.value for role in Role]) if name == "role" else str
    return {"default": None, "help": text} | ({"is_flag": True} if name == "isolated" else {"type": kind})


def looks_at_backlog(command: Command) -> Command:
    """Add the flags that name a backlog, `--json`, and the end that a refusal makes."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return settings_options(*PLACE)(as_json(say_refusals(command)))


def say_refusals(command: Command) -> Command:
    """End with the refusal's message and a status that tells its kind, instead of a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = command(*args, **kwargs)
            flush()
        except BrokenPipeError:
            raise  # nobody reads any more: click ends in silence
        except OSError as error:
            click.echo(f"dibs: {error}", err=True)
            _drop_output()
            sys.exit(1)
        except Refusal as refusal:
            from dibs.cli.wording import SHELL

            if kwargs.get("as_json"):
                print_json(refusal.answer(SHELL, "Run"))
            click.echo(f"dibs: {refusal.worded(SHELL, 'Run')}", err=True)
            sys.exit(exit_status(refusal))
        return result

    return run


def flush() -> None:
    """Have what was printed written, or know that it was not. Raises OSError."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    sys.stdout.flush()


def _drop_output() -> None:
    """Let what could not be written go nowhere, or the interpreter tries it once more at its end."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def exit_status(refusal: Refusal) -> int:
    """2 for a wrong call, 75 (EX_TEMPFAIL of sysexits.h) for one to repeat, 1 for every other refusal."""
    if refusal.retryable:
        return 75
    return 2 if refusal.code == "invalid_input" else 1


@contextmanager
def backlog(flags: dict[str, Any], *, make: bool = False, read_only: bool = False) -> Iterator[Database]:
    """The backlog that the flags name, closed at the end; only `make` brings a new one into being.

    One that is opened for `read_only` is left as it is, to the last byte.

    Raises NotFound where there is none, and what keeps it from being opened.
    """
    from dibs.database import open_database

    database = open_database(Settings.read(flags), read_only=read_only)
    if not make and not database.exists():
        raise NotFound(
            f"There is no backlog at {database.label}. `dibs import FILE`, `dibs add`, `dibs plan` or an agent's "
            "`dibs serve` makes one; --db names another."
        )
    try:
        yield database
    finally:
        database.close(CLOSING)


def print_json(data: Any) -> None:
    """Print JSON values as one line."""
    click.echo(json.dumps(data, ensure_ascii=False))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a signal end the command as an exception does: what was half made is removed on the way out.

    It may come in the middle of a library's work, which then complains of what it finds on that way.
    """
    came: list[int] = []

    def end(number: int, _: object) -> None:
        came.append(number)
        sys.exit(128 + number)

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if came:
            sys.exit(128 + came[0])
