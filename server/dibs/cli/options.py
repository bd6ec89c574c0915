"""The parts that all commands share: options for settings, `--json`, and exit statuses for refusals."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from dibs.platform.signals import ENDING
from dibs.settings import Settings
from dibs_schema.refusals import ReadOnly, Refusal
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from dibs.database import Database


Command = Callable[..., Any]

PLACE = ("db", "project", "isolated")
"""The settings that name the backlog."""
NOTHING_READY, NOTHING_LEFT, NOTHING_FOR_AGENTS = 3, 4, 5
"""Exit statuses of a claim without a feature: none is ready now; none is left to do; the rest waits for a person."""


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Add options for the named settings, with the descriptions of `Settings`."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = click.option(*setting_option(name).opts, **_of_setting(name))(command)
        return command

    return add


def setting_option(name: str) -> click.Option:
    """Return the option of a setting."""
    return click.Option(["--" + name.replace("_", "-")], **_of_setting(name))


def _of_setting(name: str) -> dict[str, Any]:
    text = f"{Settings.model_fields[name].description} [DIBS_{name.upper()}]"
    kind: Any = click.Choice([role.value for role in Role]) if name == "role" else str
    return {"default": None, "help": text} | ({"is_flag": True} if name == "isolated" else {"type": kind})


def backlog_command(command: Command) -> Command:
    """Add the options that name a backlog, `--json`, and the exit statuses of refusals."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return settings_options(*PLACE)(as_json(say_refusals(command)))


def say_refusals(command: Command) -> Command:
    """Print a refusal's message instead of a traceback, and exit with the status for that kind of refusal."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = command(*args, **kwargs)
            flush()
        except BrokenPipeError:
            raise  # the reader has gone: click exits without a message
        except OSError as error:
            place = f"{error.filename}: " if error.filename is not None else ""
            click.echo(f"dibs: {place}{error.strerror or error}", err=True)
            if sys.stdout is not None:  # the interpreter would try to flush it again at exit
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, sys.stdout.fileno())
                os.close(null)
            sys.exit(1)
        except Refusal as refusal:
            from dibs.cli.shell_wording import SHELL

            if kwargs.get("as_json"):
                print_json(refusal.answer(SHELL, "Run"))
            elif (output := refusal.details.get("output")) is not None:
                from dibs.cli.escaped_text import several_lines

                click.echo(several_lines(output), err=True)
            click.echo(f"dibs: {refusal.worded(SHELL, 'Run')}", err=True)
            if refusal.retryable:
                sys.exit(75)  # EX_TEMPFAIL of sysexits.h: a call to repeat
            sys.exit(2 if refusal.code == "invalid_input" else 1)
        return result

    return run


def flush() -> None:
    """Write all buffered output. Raises OSError if that fails."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    sys.stdout.flush()


@contextmanager
def backlog(flags: dict[str, Any], *, make: bool = False, read_only: bool = False) -> Iterator[Database]:
    """Open the backlog that the flags name, and close it at the end. `make` creates a missing backlog.

    With `read_only`, not a single byte of the database changes, and no file is made next to it.
    Raises NotFound if there is no backlog, and the Unavailable refusals.
    """
    from dibs.database import open_database
    from dibs.transfer.bulk import inspect_schema
    from dibs_schema.tables import HEAD

    settings = Settings.read(flags)
    if not make:
        version = inspect_schema(settings)
        if read_only and version < HEAD:
            raise ReadOnly(
                f"The backlog has schema {version}, and this Dibs reads {HEAD}. This command changes nothing. The next "
                "server or command that writes migrates it, and older servers must then be restarted."
            )
    database = open_database(settings, read_only=read_only)
    try:
        yield database
    finally:
        database.close(patience=5)


def is_unicode(stream: TextIO | None) -> bool:
    """Return whether a stream can print every character."""
    return stream is not None and (stream.encoding or "").lower().startswith("utf")


def print_json(data: Any) -> None:
    """Print JSON values as one line."""
    click.echo(json.dumps(data, ensure_ascii=not is_unicode(sys.stdout)))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a signal raise SystemExit, so that the command removes incomplete files.

    A signal may interrupt a library, which may then raise another exception; the exit status is the same.
    """
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        sys.exit(128 + number)

    before = {one: signal.signal(one, end) for one in ENDING}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if received:
            sys.exit(128 + received[0])
